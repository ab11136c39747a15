"""`python -m deca.service`"""

from deca.service.main import serve

if __name__ == "__main__":
    serve()
