"""Exceptions of a background task and of the block that it serves: the caller wants the one that matters."""


def only_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception inside nested groups of one; a group when there are several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
