#!/bin/sh
#SBATCH --job-name=@NAME@
#SBATCH --array=1-@SHARDS@
#SBATCH --cpus-per-task=2
#SBATCH --time=06:00:00
#SBATCH --requeue
#SBATCH --output=target/%x-%A_%a.log
#
@HEADER@
# Run it in a checkout on a file system that all nodes share:
#
#     sh FILE [--nightly]
#
# It ends with the exit code of the collection. The nodes share KDK_HOME by its
# path, so there is nothing to cache. Variables such as SBATCH_PARTITION choose
# other options.
set -eu

case ${1-} in
shard)
    shard=$SLURM_ARRAY_TASK_ID
    exec cargo xtask ci run --plan "$2/plan.json" --shard "$shard/@SHARDS@" --results "$2/shard-$shard"
    ;;
collect)
    exec cargo xtask ci collect "$2" --plan "$2/plan.json" --out "$2"
    ;;
*)
    mkdir -p target
    results=$(mktemp -d "$PWD/target/ci.XXXXXX")
    cargo xtask ci plan --format json --shards @SHARDS@@SANDBOX@ --out "$results/plan.json" "$@"
    # A newer revision cancels the jobs of an older one.
    scancel --user="$(id -un)" --name=@NAME@
    shards=$(sbatch --parsable "$0" shard "$results")
    shards=${shards%%;*}
    echo "shards: job $shards; results: $results"
    # It runs even if a shard failed, and fails if a shard is missing.
    sbatch --wait --array=1 --dependency="afterany:$shards" "$0" collect "$results"
    # sbatch also succeeds if the job was cancelled before it began.
    if [ ! -e "$results/report.json" ]; then
        echo "the collection was cancelled: a newer revision was submitted" >&2
        exit 5
    fi
    ;;
esac
