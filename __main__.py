"""`python -m pyratok`: the command line."""

from .commands.app import main

if __name__ == "__main__":
    main()
