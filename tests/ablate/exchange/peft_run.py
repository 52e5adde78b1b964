"""A run of PEFT's method comparison as its scripts write it, cut to what matters."""

from typing import Any


def document(
    experiment: str = "lora/llama-3.2-3B-rank32", score: float = 631 / 1319, **changes: Any
) -> dict[str, Any]:
    """One run; `changes` set dotted keys."""
    made: dict[str, Any] = {
        "run_info": {
            "created_at": "2026-07-15T05:41:18+00:00",
            "total_time": 1153.3,
            "experiment_name": experiment,
            "peft_branch": "main",
            "train_config": {
                "model_id": "meta-llama/Llama-3.2-3B",
                "seed": 0,
                "optimizer_kwargs": {"lr": 1e-4, "weight_decay": 0.1},
            },
            "peft_config": {"peft_type": "LORA", "r": 32, "lora_alpha": 64},
            "error_msg": "",
        },
        "train_info": {
            "accelerator_memory_max": 22292725760,
            "num_trainable_params": 9175040,
            "status": "success",
            "metrics": [
                {"step": 250, "valid accuracy": 0.32, "train loss": 0.98},
                {"step": 5000, "test accuracy": score, "train loss": 0.6, "forgetting": 0.05},
            ],
        },
        "meta_info": {
            "dataset_info": {"metamath": {"sha": "aa4f"}, "gsm8k": {"sha": "7403"}},
            "package_info": {"peft-version": "0.19.2.dev0", "bitsandbytes-commit-hash": None},
            "system_info": {"accelerator": "NVIDIA L40S"},
        },
    }
    for key, value in changes.items():
        *path, last = key.split("__")
        part = made
        for step in path:
            part = part[step]
        part[last] = value
    return made
