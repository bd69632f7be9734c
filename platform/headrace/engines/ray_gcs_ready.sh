# Sourced by every bash of a Ray worker's pod, through BASH_ENV.
#
# KubeRay has each worker wait in an init container, which asks `ray health-check` again and
# again until the head is there. With the fifth of a core that this container gets, starting
# Ray's command line takes more than ten seconds a time. A connection tells the same at once.
unset BASH_ENV
ray() {
    local address="" until=$((SECONDS + 60))
    if [ "$1" != health-check ]; then
        command ray "$@"
        return
    fi
    while [ $# -gt 0 ]; do
        [ "$1" = --address ] && address=$2
        shift
    done
    until (: < "/dev/tcp/${address%:*}/${address##*:}") 2> /dev/null; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.25
    done
}
