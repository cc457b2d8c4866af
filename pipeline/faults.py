"""Why a job cannot start, as an object: what a person reads, and which options it is about."""

from dataclasses import dataclass

#: The program's exit status where there is a fault.
EXIT_FAULTY_OPTIONS = 2


@dataclass(frozen=True)
class Fault:
    """A reason why a job cannot start.

    Attributes:
      message: One line for a person.
      options: Names of the options, Clipscout's or Beam's, with other values of which it may go.
    """

    message: str
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.message


def of(option: str, message: str, *others: str) -> Fault:
    """Returns the fault of an option, of which the message says what is wrong: `is missing`, `: no such file`.

    Args:
      option: Its name.
      message: What follows the name.
      others: Options that the message names too.
    """
    return Fault(f"--{option}{'' if message.startswith(':') else ' '}{message}", (option, *others))
