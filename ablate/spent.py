"""What a study has cost in time of its devices, and what each decided claim did. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.state import Trial

_DECIDED = ("supported", "contradicted")


@dataclass(frozen=True)
class Spent:
    """Time of devices, and what it bought.

    Attributes:
        seconds: of devices, over all trials: those that failed and those that are still running
            as far as they have reported as well, but not those that another study trained. Trials
            of one pack share its time.
        devices: kinds of device.
        num_claims: of the study; None before its first report.
        num_decided: claims that are supported or contradicted.
    """

    seconds: float
    devices: tuple[str, ...]
    num_claims: int | None
    num_decided: int

    @property
    def seconds_per_decided(self) -> float | None:
        """None where nothing is decided."""
        return self.seconds / self.num_decided if self.num_decided else None

    def to_json(self) -> dict[str, Any]:
        """In plain JSON types."""
        return {
            "device_seconds": self.seconds,
            "devices": list(self.devices),
            "claims": self.num_claims,
            "decided": self.num_decided,
            "device_seconds_per_decided_claim": self.seconds_per_decided,
        }

    def __str__(self) -> str:
        name = "GPU" if self.devices and all(d != "cpu" for d in self.devices) else "device"
        kinds = f" on {', '.join(self.devices)}" if self.devices else ""
        text = f"{self.seconds / 3600:.3g} {name}-hours ({self.seconds:,.0f} s{kinds})"
        each = self.seconds_per_decided
        if each is not None:
            whose = f"each of {self.num_decided} decided claims"
            whose = whose if self.num_decided > 1 else "the one decided claim"
            text += f", {each / 3600:.3g} for {whose}"
        elif self.num_claims:
            text += f", none of {self.num_claims} claims decided yet"
        return text


def device_seconds(trials: Iterable[Trial]) -> float:
    """Time of devices that trials took, of one that runs as far as it has reported.

    Each of a pack was charged its share of the pack's time; one that was taken over from another
    study took none here.
    """
    return sum(_seconds(trial) for trial in trials)


def _seconds(trial: Trial) -> float:
    if trial.reused_from is not None:
        return 0.0
    took = (trial.result_json or {}).get("seconds")
    last = trial.reports[max(trial.reports)] if trial.reports else {}
    return float((last.get("seconds") if took is None else took) or 0.0)


def spent(trials: Iterable[Trial], claims: Sequence[Mapping[str, Any]] | None) -> Spent:
    """What trials took.

    Args:
        trials: of a study's journal, those included that it does not ask for any more.
        claims: of the study's findings; None before there are any.
    """
    own = [trial for trial in trials if trial.reused_from is None]
    names = {str((trial.result_json or {}).get("device") or "").partition(":")[0] for trial in own}
    decided = sum(claim["verdict"] in _DECIDED for claim in claims or ())
    num_claims = None if claims is None else len(claims)
    return Spent(device_seconds(own), tuple(sorted(names - {""})), num_claims, decided)
