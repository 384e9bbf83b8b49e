"""``python -m flexibert_nas COMMAND``: every command, whatever files lie in the working folder."""

from .commands import main

if __name__ == "__main__":
    main()
