"""The listener of the web example: what digit is on this drawing?

It knows neither the web nor queues, but that it says how far it is and what it thinks so far: see `ctx` and `yield`.
"""

import numpy
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.svm import SVC

SIDE = 64  # pixels: a drawing is SIDE x SIDE bytes, 0 for paper to 255 for ink
CELLS = 8  # cells a side: what the model looks at, each the ink in a block of 4 x 4 pixels, 0 to 16
TURNS = numpy.radians([0, -12, -8, -4, 4, 8, 12])  # nobody draws upright: the drawing is looked at in several ways

model = None  # what `load` made, once in each executor


def load():
    """Train the model. `mlq worker --setup tasks:load` has this called in each executor, before its first job."""
    global model
    digits = load_digits()
    drawings = (image.repeat(SIDE // CELLS, 0).repeat(SIDE // CELLS, 1) > 6 for image in digits.images)
    model = CalibratedClassifierCV(SVC(gamma=0.02, C=10), ensemble=False)  # with chances, not only digits
    model.fit([cells(drawing, 0) / 16 for drawing in drawings], digits.target)


def read_digit(drawing, ctx):
    """Read one drawing. Yields what it thinks after each look; returns a short text and the whole answer."""
    ink = numpy.frombuffer(drawing, numpy.uint8).reshape(SIDE, SIDE) > 100
    if not ink.any():
        raise ValueError("nothing is drawn")
    chances = numpy.zeros(10)
    for look, turn in enumerate(TURNS, start=1):
        chances += model.predict_proba(cells(ink, turn)[numpy.newaxis] / 16)[0]
        ctx.update_progress(100 * look // len(TURNS))
        yield answer(chances / look)  # whoever follows the job sees it at once
    sure = answer(chances / len(TURNS))
    return str(sure["digit"]), sure


def answer(chances):
    """Return the likeliest digit, and the chance of each."""
    return {"digit": int(chances.argmax()), "chances": [round(float(chance), 3) for chance in chances]}


def cells(ink, turn):
    """Return a drawing as the model knows digits: turned, cut out, 32 pixels high or wide, counted in blocks of 4."""
    rows, columns = numpy.nonzero(ink)
    y, x = rows - rows.mean(), columns - columns.mean()
    y, x = y * numpy.cos(turn) - x * numpy.sin(turn), y * numpy.sin(turn) + x * numpy.cos(turn)
    size = 4 * CELLS
    scale = (size - 1) / max(numpy.ptp(y), numpy.ptp(x), 1)
    picture = numpy.zeros((size, size), bool)
    # A pixel becomes a square as large as the scale, so that no gaps open between them.
    for step_y in numpy.arange(0, scale, 0.5):
        for step_x in numpy.arange(0, scale, 0.5):
            down = (y - y.min()) * scale + (size - 1 - numpy.ptp(y) * scale) / 2 + step_y
            right = (x - x.min()) * scale + (size - 1 - numpy.ptp(x) * scale) / 2 + step_x
            picture[down.astype(int).clip(0, size - 1), right.astype(int).clip(0, size - 1)] = True
    return picture.reshape(CELLS, 4, CELLS, 4).sum((1, 3)).ravel()
