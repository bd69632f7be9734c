"""`headrace sites`: the table of what the contexts show."""

from headrace.cli.render.sites import sites_table
from headrace.core.errors import EnvironmentProblem
from headrace.sites.cluster import ServiceSettings, Site, StoreSettings
from headrace.sites.finding import FoundContext, FoundSite

MINE = {"python": "3.12", "headrace": "0.1.0", "ray": "2.60.0"}
GOOD = Site(
    store=StoreSettings(url="s3://headrace/team"),
    mlflow=ServiceSettings(url="http://mlflow:5000"),
    versions=MINE,
)
OTHER = Site(
    store=StoreSettings(url="s3://headrace/b"),
    kfp=ServiceSettings(url="http://ml-pipeline:8888"),
    versions={"python": "3.11", "headrace": "0.0.9", "ray": "2.59.0"},
)
UNTOLD = Site(store=StoreSettings(url="s3://headrace/c"))


def test_each_site_has_a_line_and_so_has_a_context_without_any(drawn):
    found = [
        FoundContext(context="cloud", problem=EnvironmentProblem("The cluster does not answer.")),
        FoundContext(context="empty"),
        FoundContext(context="guest", everywhere=False),
        FoundContext(
            context="kind",
            sites=(
                FoundSite(namespace="a", site=GOOD),
                FoundSite(namespace="b", site=OTHER),
                FoundSite(namespace="c", site=UNTOLD),
                FoundSite(namespace="d", site=None, problem=EnvironmentProblem("It is not YAML.")),
            ),
        ),
    ]
    assert drawn(sites_table(found, MINE), width=160).splitlines() == [
        "context  namespace  store               MLflow  KFP  versions                        "
        "reachable",
        "✘ cloud  –          –                   –       –    –                               "
        "no; The cluster does not answer.",
        "✔ empty  –          –                   –       –    –                               "
        "yes; no site",
        "✔ guest  –          –                   –       –    –                               "
        "yes; no site in its own namespace",
        "✔ kind   a          s3://headrace/team  yes     –    as here (0.1.0)                 yes",
        "✔ kind   b          s3://headrace/b     –       yes  python 3.11, headrace 0.0.9, …  yes",
        "✔ kind   c          s3://headrace/c     –       –    not told                        yes",
        "✘ kind   d          –                   –       –    –                               "
        "yes; It is not YAML.",
    ]
