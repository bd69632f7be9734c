"""Names of KFP's nodes, as a real server gave them, in terms of steps."""

import pytest

from headrace.core.nodes import Node, of_node, of_pod

IN_LOOP = "w-1.root.for-loop-2.iteration-iterations(0:0).iteration-item"
IN_BOTH = f"{IN_LOOP}.for-loop-4.iteration-iterations(11:11).iteration-item"


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("w-1.root.one.executor", Node(path="one", label="", attempt=1)),
        ("w-1.root.one.executor(0)", Node(path="one", label="", attempt=1)),
        ("w-1.root.one.executor(2)", Node(path="one", label="", attempt=3)),
        ("w-1.root.executor.executor", Node(path="executor", label="", attempt=1)),
        ("w-1.root.iteration.executor", Node(path="iteration", label="", attempt=1)),
        ("w-1.root.inner.say.executor", Node(path="inner/say", label="", attempt=1)),
        (f"{IN_LOOP}.make.executor", Node(path="for-loop-2/0/make", label="[0]", attempt=1)),
        (
            f"{IN_BOTH}.condition-5.say.executor(1)",
            Node(path="for-loop-2/0/for-loop-4/11/condition-5/say", label="[0][11]", attempt=2),
        ),
        ("w-1.root.exit-handler-1.onExit.tidy.executor", Node(path="tidy", label="", attempt=1)),
        (
            f"{IN_LOOP}.exit-handler-3.onExit.tidy.executor",
            Node(path="for-loop-2/0/tidy", label="[0]", attempt=1),
        ),
        # As it is where Argo makes anew what was lost.
        ("w-1(0).root(0).one(0).executor(0)", Node(path="one", label="", attempt=1)),
        ("w-1(0).root(0).one(1).executor(2)", Node(path="one", label="", attempt=3)),
        (
            "w-1(0).root(0).for-loop-2(0).iteration-iterations(0:0)(0).iteration-item(0).make(0)"
            ".executor(1)",
            Node(path="for-loop-2/0/make", label="[0]", attempt=2),
        ),
    ],
)
def test_a_pods_node_tells_its_step(name, node):
    assert of_pod(name) == node
    assert of_node(name, "system-container-impl") == node


@pytest.mark.parametrize(
    ("name", "template", "path"),
    [
        ("w-1", "entrypoint", ""),
        ("w-1.root", "root", ""),
        ("w-1.root-driver", "system-dag-driver", ""),
        ("w-1.root.one", "system-container-executor", "one"),
        ("w-1.root.executor", "system-container-executor", "executor"),
        ("w-1.root.one-driver", "system-container-driver", "one"),
        ("w-1.root.for-loop-2", "comp-for-loop-2-for-loop-2-iterator", "for-loop-2"),
        ("w-1.root.for-loop-2.iteration-driver", "system-dag-driver", "for-loop-2"),
        ("w-1.root.for-loop-2.iteration-iterations", "comp-for-loop-2-iteration", "for-loop-2"),
        (f"{IN_LOOP}-driver", "system-dag-driver", "for-loop-2/0"),
        (IN_LOOP, "comp-for-loop-2", "for-loop-2/0"),
        (f"{IN_LOOP}.make-driver", "system-container-driver", "for-loop-2/0/make"),
        ("w-1.root.importer", "system-importer", "importer"),
        ("w-1(0)", "entrypoint", ""),
        ("w-1(0).root-driver(0)", "system-dag-driver", ""),
        ("w-1(0).root(0).one", "system-container-executor", "one"),
        ("w-1(0).root(0).one-driver(1)", "system-container-driver", "one"),
        ("w-1(0).root(0).importer(0)", "system-importer", "importer"),
        ("w-1.root.exit-handler-1.onExit.tidy-driver", "system-container-driver", "tidy"),
    ],
)
def test_other_nodes_belong_to_a_step_or_a_group(name, template, path):
    assert of_node(name, template).path == path
