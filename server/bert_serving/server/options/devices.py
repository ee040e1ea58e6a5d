"""Options: where and how the model is computed, and what is logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .engines import TENSORFLOW, engine
from .option import DEVICES, OTHER, flag, option
from .values import fraction, log_format, whole_number


@dataclass(frozen=True)
class DeviceOptions:
    """The options of the groups `DEVICES` and `OTHER`."""

    cpu: bool = flag(
        group=DEVICES,
        help='run on the CPU',
    )
    engine: str = option(
        default=TENSORFLOW,
        group=DEVICES,
        help='tensorflow or onnxruntime. ONNX Runtime runs on the CPU only and needs the extra [onnx]; it starts '
        'faster, takes less memory, and is faster for single texts',
        parse=engine,
        metavar='ENGINE',
    )
    int8: bool = flag(
        group=DEVICES,
        help='multiply in 8-bit integers and return float32 vectors; needs -engine onnxruntime',
    )
    xla: bool = flag(
        group=DEVICES,
        help='compile the graph with XLA',
    )
    fp16: bool = flag(
        group=DEVICES,
        help='compute in float16 (only if all workers run on GPUs) and return float16 vectors',
    )
    bf16: bool = flag(
        group=DEVICES,
        help='compute in bfloat16 and return float32 vectors',
    )
    gpu_memory_fraction: float = option(
        default=0.5,
        group=DEVICES,
        help="fraction of a GPU's memory that each worker can use",
        parse=fraction,
        metavar='FRACTION',
    )
    device_map: Sequence[int] = option(
        default=(),
        group=DEVICES,
        help='GPU ids, assigned to the workers in turn; -1 is the CPU, so "0 -1" uses both; ignored with -cpu',
        parse=whole_number(-1),
        metavar='ID',
        many=True,
    )

    log_format: str = option(
        default='auto',
        group=OTHER,
        help='format of log lines: plain, as in 1.10; time, which adds the time; json, one object per line; auto, '
        'which is plain on a terminal and time elsewhere',
        parse=log_format,
        metavar='FORMAT',
    )
    verbose: bool = flag(
        group=OTHER,
        help="log every request and TensorFlow's messages",
    )
