"""The settings of models and of the engine that they run on; `config` has all others."""

from __future__ import annotations

from pydantic import ByteSize, Field
from pydantic_settings import BaseSettings

from hf_asr_endpoint.setting_types import (
    CpuLevel,
    Devices,
    Dtype,
    EngineChoice,
    LoadAt,
    Names,
    PreparationProcesses,
    Slots,
)


class ModelSettings(BaseSettings):
    """Fields of `Settings`, which says where they are read from."""

    model: Names = Field(
        ("embedded:whisper-base",),
        min_length=1,
        description="Model to serve: `embedded:whisper-base`, `embedded:whisper-tiny.en`, a name on the Hugging "
        "Face Hub, or a local directory in transformers' or CTranslate2's format. Several, separated by commas or "
        "in repeated flags: the first is the default. Or a file of models, `*.toml`. Also read from "
        "`HF_MODEL_DIR`, if it has a model, and `HF_MODEL_ID`.",
    )
    load_models: LoadAt = Field(
        "start",
        description="When models other than the default one are loaded: at the `start`, or at their `first-use`.",
    )
    max_model_bytes: ByteSize | None = Field(
        None,
        gt=0,
        description="Memory for all models together, such as `2GiB`. Where one does not fit, those that have been "
        "unused the longest are unloaded; a request brings them back. At the start, only the default one "
        "is loaded then.",
    )
    model_idle_timeout_s: float | None = Field(
        None,
        gt=0,
        description="Time without a request after which a model that was loaded by one is unloaded, in seconds.",
    )
    revision: str | None = Field(
        None, description="Branch, tag or commit of a model on the Hub. Also read from `HF_REVISION`."
    )
    served_model_names: Names = Field(
        (), description="More names that clients may use for the model, separated by commas."
    )
    engine: EngineChoice = Field(
        "auto",
        description="What computes the model: `native`, this server's own engine, for Whisper; `transformers`, "
        "for any speech recognition model of that library; `auto`: native where it can compute the model.",
    )
    devices: Devices = Field(
        ("auto",),
        description="Devices that the model runs on. `auto`: all GPUs that CUDA shows, else MPS, else the CPU. "
        "`cpu`, `cuda` (the first GPU), `mps`: one engine, in the server's process. `cuda:0,cuda:1`, names of "
        "GPUs (`GPU-…`) and of their MIG instances (`MIG-…`), or `cpu,cpu`: an engine for each, in a process of "
        "its own (docs/gpu.md).",
    )
    dtype: Dtype = Field(
        "auto",
        description="Precision of the weights. `auto` on a CPU: int8 with AVX2 or Arm's dot products "
        "(FEAT_DotProd), else bfloat16 if the CPU computes with it, else float32; `auto` on CUDA: float16; "
        "`auto` on MPS: float32. `int8`, the fastest, requires a CPU with AVX2, VNNI or Arm's dot products.",
    )
    cpu_level: CpuLevel = Field(
        "auto",
        description="Instructions that the kernels on a CPU use. `auto`: the fastest that the processor reports; "
        "`none`: torch's operators. For tests and diagnosis; a level that the processor lacks is refused.",
    )
    slots: Slots = Field(
        "auto",
        description="Chunks of audio, up to 30 seconds each, that are decoded at the same time. `auto`: 16 on a "
        "CPU; on a GPU as many as its memory suffices for, up to 64. At CPU level `avx2`, requests of one or two "
        "chunks have 8 of them at most.",
    )
    max_beams: int = Field(
        15,
        ge=1,
        description="Maximum number of beams, samples (`best_of`) or candidates of contrastive search in a "
        "request. Each one takes a slot, and one slot in 16 (at least one) is kept for other requests.",
    )
    encoder_padding_s: float = Field(
        4.0,
        ge=1,
        le=30,
        description="Minimum silence after audio shorter than 30 seconds, in seconds. Less is faster but, below "
        "about 4, less accurate; 30 always gives the model the full window that it was trained on.",
    )
    preparation_processes: PreparationProcesses = Field(
        "auto",
        description="Processes that decode audio and find speech in it, for each engine. `0`: threads of the "
        "engine's process do. `auto`: with an NVIDIA GPU one less than the engine has cores, at most 8; otherwise "
        "none: an engine on the CPU needs its cores itself.",
    )
    max_step_s: float = Field(
        300.0,
        gt=0,
        description="Maximum time for a step of the native engine, in seconds. One that takes longer hangs, as "
        "after a GPU's fault: `/health` says so, and where engines are processes, the process is started again.",
    )
