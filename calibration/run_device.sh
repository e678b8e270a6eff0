#!/usr/bin/env bash
# Runs the benchmarks of this folder on this machine's GPUs within a time budget.
#
# usage: run_device.sh OUT [BUDGET_SECONDS] [kernels|steps|ranks]
#
# kernels: microbenchmarks (one-GPU ones on two GPUs side by side, host times alone, then NCCL).
# steps:   real training steps (tasks/validation.json): one-GPU tasks on each GPU, then all GPUs together.
# ranks:   what changes with the number of ranks: collectives, and how they and kernels slow each other, among
#          2, 4, ... GPUs, in a folder each; then the real steps of tasks/four-gpus.json, where there are four.
# OUT receives machine.json, results.tar.gz (the CSV files, JSONL and logs), renewed after every part, so that
# a run that is cut off loses only the part that was running. Every part has a time limit of its own.
set -u
out=$(mkdir -p "${1:?usage: run_device.sh OUT [BUDGET_SECONDS] [kernels|steps|ranks]}" && cd "$1" && pwd)
budget=${2:-540}
stage=${3:-kernels}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
began=$(date +%s)
export PYTHONUNBUFFERED=1
export NCCL_NVLS_ENABLE=${NCCL_NVLS_ENABLE:-0}
gpus=$(nvidia-smi -L 2>/dev/null | wc -l)
dry=${REHEARSE_DRY_RUN:-0}
[ "$dry" = 1 ] && gpus=2
visible=$(seq -s, 0 $((gpus - 1)))
python=${PYTHON:-python3}
port=$((20000 + RANDOM % 9000))

left() { echo $((budget - ($(date +%s) - began))); }
share() { echo $((budget * $1 / 540)); } # seconds of a 540-second plan, scaled
say() { echo "[$(($(date +%s) - began)) s] $*"; }

pack() {
  tar -czf "$work.tar.gz" -C "$work" --exclude=bin --exclude=build . &&
    mv "$work.tar.gz" "$out/results.tar.gz"
  [ -f "$work/machine.json" ] && cp "$work/machine.json" "$out/machine.json"
}

# part NAME SECONDS COMMAND...: at most SECONDS, and 20 more to end; skipped when too little time is left.
part() {
  local name=$1 seconds=$2
  shift 2
  local rest
  rest=$(left)
  if [ "$rest" -lt 12 ]; then
    say "$name: skipped, $rest s left"
    return 0
  fi
  [ "$seconds" -gt "$rest" ] && seconds=$rest
  say "$name: at most $seconds s"
  timeout -k 10 "$((seconds + 20))" "$@" >"$work/$name.log" 2>&1
  local code=$?
  say "$name: exit $code; $(tail -n 1 "$work/$name.log" | cut -c1-160)"
}

# seconds that a part of the plan may use: its share, or what is left, less the process's own start
span() {
  local wanted rest
  wanted=$(share "$1")
  rest=$(($(left) - 8))
  [ "$wanted" -gt "$rest" ] && wanted=$rest
  [ "$wanted" -lt 3 ] && wanted=3
  echo "$wanted"
}

torch() { # torch GPU NAME SECONDS SCRIPT [ARGUMENTS]: one process on one GPU
  local gpu=$1 name=$2 seconds=$3 script=$4
  shift 4
  CUDA_VISIBLE_DEVICES=$gpu part "$name" "$seconds" "$python" "$here/$script" "$work" --budget "$seconds" "$@"
}

cuda() { # cuda GPUS NAME SECONDS: a CUDA benchmark, where it was built
  local visible=$1 name=$2 seconds=$3
  [ -x "$work/bin/$name" ] || {
    say "$name: not built"
    return 0
  }
  CUDA_VISIBLE_DEVICES=$visible part "cuda_$name" "$seconds" "$work/bin/$name" "$work" "$seconds"
}

among() { # among RANKS NAME SECONDS SCRIPT ARGUMENTS...: one process a GPU
  local ranks=$1 name=$2 seconds=$3
  shift 3
  port=$((port + 1))
  part "$name" "$seconds" "$python" -m torch.distributed.run --nnodes=1 --nproc_per_node="$ranks" \
    --master_addr=127.0.0.1 --master_port="$port" "$@"
}

together() { # together NAME SECONDS SCRIPT ARGUMENTS...: all GPUs
  among "$gpus" "$@"
}

build() { # plain nvcc calls side by side: one that fails leaves the others
  local nccl name
  mkdir -p "$work/bin"
  nccl=$("$python" -c 'import nvidia.nccl as n; print(list(n.__path__)[0])' 2>/dev/null)
  for name in bandwidth launch gemm clocks nccl overlap; do
    compile "$name" "$nccl" >"$work/build_$name.log" 2>&1 &
  done
  wait
  touch "$work/bin/.done"
}

compile() { # compile NAME NCCL_FOLDER: against the toolkit's NCCL, else PyTorch's
  local source="$here/cuda/$1.cu" target="$work/bin/$1" nccl=$2
  local flags=(-std=c++17 -O3 "-arch=${REHEARSE_CUDA_ARCH:-native}" -lcublasLt)
  case $1 in
    nccl | overlap)
      timeout 150 nvcc "${flags[@]}" "$source" -o "$target" -lnccl ||
        timeout 150 nvcc "${flags[@]}" "$source" -o "$target" -I"$nccl/include" \
          "$nccl/lib/libnccl.so.2" -Xlinker -rpath -Xlinker "$nccl/lib"
      ;;
    *) timeout 150 nvcc "${flags[@]}" "$source" -o "$target" ;;
  esac
}

wait_for_build() {
  local tries=0
  until [ -e "$work/bin/.done" ] || [ "$tries" -ge 150 ]; do
    sleep 1
    tries=$((tries + 1))
  done
}

memory_kernels() {
  torch 0 kernels "$(span 170)" pytorch/kernels.py
  wait_for_build
  cuda 0 bandwidth "$(span 10)"
}

matrix_kernels() { # matrix_kernels GPU
  torch "$1" gemm "$(span 90)" pytorch/gemm.py
  torch "$1" attention "$(span 65)" pytorch/attention.py
  wait_for_build
  cuda "$1" gemm "$(span 22)"
}

kernels_stage() {
  build &
  if [ "$gpus" -gt 1 ]; then
    memory_kernels &
    matrix_kernels 1 &
    wait
  else
    memory_kernels
    matrix_kernels 0
    wait
  fi
  pack
  torch 0 host "$(span 50)" pytorch/host.py
  cuda 0 launch "$(span 5)"
  pack
  if [ "$gpus" -gt 1 ]; then
    together collectives "$(span 80)" "$here/pytorch/collectives.py" "$work" --budget "$(span 80)"
    pack
    together overlap "$(span 45)" "$here/pytorch/overlap.py" "$work" --budget "$(span 45)"
    pack
    together steps_host "$(span 45)" "$here/measure_steps.py" "$here/tasks/host.json" \
      --out "$work/steps_host.jsonl" --budget "$(span 40)"
    pack
    cuda "$visible" nccl "$(span 25)"
    cuda "$visible" overlap "$(span 15)"
  fi
  cuda 0 clocks "$(span 8)"
}

steps_stage() {
  local tasks=("${TASKS:-$here/tasks/validation.json}") gpu
  local alone
  alone=$(span $((gpus > 1 ? 190 : 500)))
  local pids=()
  for ((gpu = 0; gpu < gpus; gpu++)); do
    CUDA_VISIBLE_DEVICES=$gpu part "single_$gpu" "$alone" "$python" "$here/measure_steps.py" "${tasks[@]}" \
      --out "$work/steps_single_$gpu.jsonl" --shard "$gpu/$gpus" --budget "$((alone - 8))" --kernels &
    pids+=($!)
  done
  wait "${pids[@]}"
  pack
  steps_together "${tasks[@]}"
}

steps_together() { # steps_together TASKS...: those for as many GPUs as there are
  [ "$gpus" -gt 1 ] || return 0
  local tasks=("$@") attempt rest
  for attempt in 1 2 3 4 5 6; do # a task that breaks the job is left out of the next attempt
    rest=$(($(left) - 10))
    [ "$rest" -lt 20 ] && break
    together "parallel_$attempt" "$rest" "$here/measure_steps.py" "${tasks[@]}" \
      --out "$work/steps_parallel.jsonl" --budget "$((rest - 15))" --kernels
    pack
    grep -q -e "the budget is spent" -e "all tasks done" "$work/parallel_$attempt.log" && break
  done
}

ranks_stage() {
  if [ "$gpus" -lt 2 ]; then
    say "one GPU: nothing to measure among ranks"
    return 0
  fi
  build
  local ranks counts=0 to
  for ((ranks = 2; ranks <= gpus; ranks *= 2)); do counts=$((counts + 1)); done
  for ((ranks = gpus; ranks >= 2; ranks /= 2)); do # the largest first: it is what is not known yet
    to="$work/ranks-$ranks"
    mkdir -p "$to"
    among "$ranks" "collectives_$ranks" "$(span $((160 / counts)))" "$here/pytorch/collectives.py" \
      "$to" --budget "$(span $((150 / counts)))"
    pack
    among "$ranks" "overlap_kernels_$ranks" "$(span $((100 / counts)))" \
      "$here/pytorch/overlap_kernels.py" "$to" --budget "$(span $((90 / counts)))"
    pack
    [ -x "$work/bin/nccl" ] &&
      CUDA_VISIBLE_DEVICES=$(seq -s, 0 $((ranks - 1))) part "cuda_nccl_$ranks" \
        "$(span $((30 / counts)))" "$work/bin/nccl" "$to" "$(span $((25 / counts)))"
    pack
  done
  steps_together "$here/tasks/four-gpus.json"
}

say "$gpus GPUs, budget $budget s, stage $stage"
part machine 60 "$python" "$here/pytorch/machine.py" "$work"
pack
case $stage in
  kernels) kernels_stage ;;
  steps) steps_stage ;;
  ranks) ranks_stage ;;
  *)
    echo "unknown stage $stage: kernels, steps or ranks" >&2
    exit 2
    ;;
esac
wc -l "$work"/*.csv "$work"/*/*.csv "$work"/*.jsonl 2>/dev/null
grep -h FAILED "$work"/*.log 2>/dev/null | cut -c1-200 | head -n 40
pack
say "done: $(du -h "$out/results.tar.gz" | cut -f1) in $out/results.tar.gz"
rm -rf "$work"
