#!/usr/bin/env bash
# One study on Slurm: a Ray of this allocation alone, on all of its nodes, for the time of the run.
#
#   sbatch clusters/slurm.sh mine.yaml [any flag of `ablate run`]
#
# Five minutes before its time is up the study is asked to stop, and the job is queued again; so it
# is after a node has failed. The store must be on a file system that every node sees.
#SBATCH --job-name=ablate
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-node=4
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=ablate-%j.log
set -eu

study=${1:?usage: sbatch slurm.sh STUDY [FLAG...]}
shift
# What activates your environment belongs here, such as: source ~/env/bin/activate
export ABLATE_STORE=${ABLATE_STORE:-$HOME/ablate-store}

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
# Other jobs of the same nodes have a Ray of their own: the port is this job's, and so is the token.
port=$((20000 + SLURM_JOB_ID % 10000))
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=600

out_of_time=
trap 'out_of_time=yes; ablate stop "$study" || true' USR1

srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --kill-on-bad-exit=0 \
  ray symmetric-run --address "$head:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus="$SLURM_CPUS_PER_TASK" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" \
  -- ablate run "$study" --address auto "$@" &
run=$!
status=0
# A signal ends `wait`, not the run.
wait "$run" || status=$?
while kill -0 "$run" 2>/dev/null; do
  status=0
  wait "$run" || status=$?
done

# 4: stopped, to be continued. When somebody else asked for it, it stays stopped.
if [ "$status" -eq 4 ] && [ -n "$out_of_time" ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
