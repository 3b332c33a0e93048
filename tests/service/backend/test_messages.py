"""The message classes come without the TensorFlow runtime, and leave room for it."""

import subprocess
import sys

from tests.support.project import ROOT


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_importing_the_messages_does_not_import_tensorflow() -> None:
    code = (
        "import sys; from service.backend import messages\n"
        "libraries = open('/proc/self/maps').read()\n"
        "print('tensorflow' in sys.modules, 'tensorflow.python' in sys.modules,\n"
        "      'libtensorflow' in libraries, '_pywrap_tensorflow' in libraries)"
    )
    assert python(code) == "False False False False"


def test_the_real_tensorflow_can_be_imported_afterwards_and_shares_the_classes() -> None:
    code = (
        "from service.backend import messages\n"
        "import tensorflow as tf\n"
        "proto = tf.make_tensor_proto([1.5, 2.5])\n"
        "print(type(proto) is messages.TensorProto, tf.constant(2).numpy() + 1)"
    )
    assert python(code) == "True 3"


def test_messages_after_the_real_tensorflow_leave_it_in_place() -> None:
    code = (
        "import tensorflow as tf\n"
        "from service.backend import messages\n"
        "import sys; print(sys.modules['tensorflow'] is tf)"
    )
    assert python(code) == "True"
