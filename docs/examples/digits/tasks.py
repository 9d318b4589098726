"""The listeners of the digits example: train a model, then read handwritten digits with it.

A listener is an ordinary function: it gets the message that was posted, and what it returns is the result of the job.
Nothing here knows of queues, so all of it can be called and tested without one.
"""

import os
import pickle
from pathlib import Path

import numpy
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

MODEL = "digits.pickle"
ROUNDS = 20  # through all images, in one step of the training

model = None  # what `load_model` loaded, once in each executor
loads = 0  # how often this executor has loaded it


def split():
    """Return images and digits to train with, then 360 images and digits held out: the same ones in every process."""
    data = load_digits()
    images, held_out, digits, answers = train_test_split(
        data.images, data.target, test_size=360, random_state=0, stratify=data.target
    )
    return images, digits, held_out, answers


def train(msg, ctx):
    """Train in `msg["steps"]` steps, saying how far it is, and store the model in the folder `msg["folder"]`."""
    images, digits, held_out, answers = split()
    network = MLPClassifier(hidden_layer_sizes=(256, 128), random_state=0)
    for step in range(msg["steps"]):
        ctx.update_progress(100 * step // msg["steps"])
        for _ in range(ROUNDS):
            network.partial_fit(rows(images), digits, classes=range(10))

    # A job may run twice: its worker can vanish behind the last line. So the model gets its name when it is whole, in
    # one step, and a second run replaces it by its equal.
    folder = Path(msg["folder"])
    unfinished = folder / f"{MODEL}.{ctx.id}.{ctx.token}"
    unfinished.write_bytes(pickle.dumps(network))
    os.replace(unfinished, folder / MODEL)

    # A text and a value: the short result, for lists and callbacks, and the full one.
    accuracy = network.score(rows(held_out), answers)
    return f"accuracy {accuracy:.3f}", {"accuracy": accuracy, "images": len(images), "rounds": msg["steps"] * ROUNDS}


def load_model():
    """Load the model. `mlq worker --setup tasks:load_model` has this called once in each executor, before any job."""
    global model, loads
    model = pickle.loads(Path(os.environ["DIGITS_FOLDER"], MODEL).read_bytes())
    loads += 1


def classify(image):
    """Read one image of 8 x 8 grey values. It was posted as a numpy array and arrives as one."""
    chances = model.predict_proba(rows(image[numpy.newaxis]))[0]
    digit = int(chances.argmax())
    return str(digit), {"digit": digit, "confidence": float(chances[digit]), "executor": os.getpid(), "loads": loads}


def classify_file(msg):
    """Read the image in the file `msg["path"]`. There is no need to catch anything: a job that raises is kept."""
    return classify(numpy.load(msg["path"]))


def rows(images):
    """Return images as rows of numbers from 0 to 1, which is what the network learns from."""
    return images.reshape(len(images), -1) / 16
