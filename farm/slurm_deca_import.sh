#!/bin/bash
# Slurm: a list of photos to heads, a share for each task of an array. docs/farm.md tells more.
#
#   find photos -name '*.jpg' > photos.txt
#   import=$(sbatch --parsable farm/slurm_deca_import.sh photos.txt heads)
#   sbatch --dependency=afterok:"$import" --wrap 'deca merge heads --catalogue catalogue --exit-zero'
#
#SBATCH --job-name=deca-import
#SBATCH --array=1-100
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@60
set -u
list=$1 out=$2 jobs=${SLURM_CPUS_PER_TASK:-1}

# 75 says that the work is to be tried again: the time was up, the node is wanted, the disk is full.
end() {
    if [ "$1" -eq 75 ]; then scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"; fi
    exit "$1"
}

deca import --list "$list" --out "$out" --chunk "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_MAX" \
    --jobs "$jobs" --threads 1 --resume --exit-zero --progress json &
child=$!
trap 'kill -TERM $child' TERM
wait $child
status=$?
if kill -0 $child 2>/dev/null; then # the signal came, and the photo at work is being dropped
    wait $child
    status=$?
fi
end $status
