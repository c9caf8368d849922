"""What is told to the operator at the terminal."""


class OperatorError(Exception):
    """An error whose message says what to do, in one or more lines; a traceback would not."""
