"""CUDA as an accelerator. The only module that calls `torch.cuda`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from hf_asr_endpoint.whisper.device.accelerator import Event, Lane

FLASH_CAPABILITY = (8, 0)  # flash attention needs Ampere or later
N_WARM_UP = 2  # runs before a capture: they compile kernels and allocate workspaces, which a capture must not


class _CudaEvent:
    def __init__(self) -> None:
        self.event = torch.cuda.Event()
        self.event.record()

    def is_done(self) -> bool:
        return bool(self.event.query())

    def wait(self) -> None:
        self.event.synchronize()


class CudaAccelerator:
    """See `Accelerator`. Each lane is a stream; tensors that both use are allocated once, and never freed."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
        self.has_ragged_attention = torch.cuda.get_device_capability(self.device) >= FLASH_CAPABILITY
        self._streams: dict[Lane, torch.cuda.Stream] = {
            "decode": torch.cuda.Stream(self.device, priority=-1),
            "encode": torch.cuda.Stream(self.device, priority=0),
        }
        self._pool = torch.cuda.graph_pool_handle()

    def lane(self, lane: Lane) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._streams[lane])

    def mark(self) -> Event:
        return _CudaEvent()

    def after(self, event: Event) -> None:
        assert isinstance(event, _CudaEvent)
        torch.cuda.current_stream(self.device).wait_event(event.event)

    def upload(self, tensor: Tensor) -> Tensor:
        """The allocator of pinned memory gives the copy's source to nobody before the copy is done."""
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def host_buffer(self, source: Tensor) -> Tensor:
        return torch.zeros(source.shape, dtype=source.dtype, pin_memory=True)

    def download(self, source: Tensor, target: Tensor) -> Event:
        target.copy_(source, non_blocking=True)
        return self.mark()

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """All graphs share the memory of their intermediate results: they run one after another.

        The capture is thread-local, because other models' threads may call CUDA meanwhile.
        """
        stream = self._streams["decode"]
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for _ in range(N_WARM_UP):
                work()
        self.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"):
            work()
        self.synchronize()
        return graph.replay

    def synchronize(self) -> None:
        torch.cuda.synchronize(self.device)

    def free_bytes(self) -> int:
        """What torch has taken from the driver but holds for no tensor counts as free."""
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return torch.cuda.mem_get_info(self.device)[0] + unused

    def release_memory(self) -> None:
        torch.cuda.empty_cache()

    def is_lost(self) -> bool:
        """An error that is sticky comes back from every later call."""
        try:
            self.synchronize()
        except RuntimeError:
            return True
        return False
