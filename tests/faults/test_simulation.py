"""Workers, reapers and producers in a world that breaks by a seed: what the promise forbids never happens."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from simulation.actors import Keeper, Producer, SimulatedWorker
from simulation.world import World


class Simulation:
    """One run: many steps in which all may go wrong, then a peace in which all has to come to its end."""

    def __init__(self, url: str, namespace: str, seed: int) -> None:
        self.dice = random.Random(seed)
        self.world = World(url, namespace, self.dice)
        self.hired = 0
        self.workers = [self.hire() for _ in range(self.dice.randint(2, 6))]
        self.producers = [Producer(self.world, f"p{number}") for number in range(2)]
        self.keeper = Keeper(self.world)

    def hire(self) -> SimulatedWorker:
        self.hired += 1
        return SimulatedWorker(self.world, f"w{self.hired}")

    def step(self) -> None:
        """Time passes, something may break, and somebody acts."""
        dice = self.dice
        self.world.time += dice.choice([0.0, 0.05, 0.15, 0.3])
        for worker in self.workers:
            worker.fence()
        if self.world.chance(0.012):
            self.something_breaks()
        actor = dice.choices(["worker", "producer", "sweep", "meddle"], [70, 15, 12, 3 if self.world.lossy else 0])[0]
        match actor:
            case "worker":
                if (worker := dice.choice(self.workers)).asleep is False:
                    worker.act()
            case "producer":
                dice.choice(self.producers).act()
            case "sweep":
                self.keeper.sweep()
            case "meddle":
                self.keeper.meddle()

    def something_breaks(self) -> None:
        dice, world = self.dice, self.world
        worker = dice.choice(self.workers)
        match dice.choices(["sleep", "death", "cut", "outage", "clock"], [35, 20, 25, 4, 16])[0]:
            case "sleep" if not worker.asleep:
                worker.sleep(dice.uniform(1, 80))
            case "death":
                world.note(f"{worker.name} dies")
                worker.die()
                self.workers[self.workers.index(worker)] = self.hire()
            case "cut":
                worker.cut_until = world.time + dice.uniform(1, 60)
                world.note(f"{worker.name} is cut off until {worker.cut_until:.0f}")
            case "outage":
                world.down_until = world.time + dice.uniform(1, 100)
                world.note(f"Redis is away until {world.down_until:.0f}")
            case "clock":
                world.set_clock(dice.choice([0.5, 3.0, 8.0, 40.0, -0.5, -3.0, -8.0]))

    def run(self, steps: int) -> Counter[str]:
        for number in range(steps):
            self.step()
            if number % 500 == 499:
                self.world.witness.audit(at_rest=False)
        self.heal()
        for _ in range(steps + 20_000):
            if not self.world.witness.live:
                break
            self.step()
        self.world.witness.audit(at_rest=True)
        for producer in self.producers:
            lost = producer.acknowledged - self.world.witness.jobs.keys()
            assert not lost, f"acknowledged and lost: {lost}"
        return self.world.witness.seen

    def heal(self) -> None:
        """Everything works again, and nobody posts any more."""
        self.world.note("all is healed")
        self.world.lossy = False
        self.world.down_until = 0.0
        for worker in self.workers:
            worker.awake_at = worker.cut_until = self.world.time
        self.keeper.resume()


def simulate(url: str, namespace: str, seed: int, steps: int) -> Counter[str]:
    simulation = Simulation(url, f"{namespace}-{seed}", seed)
    try:
        return simulation.run(steps)
    except AssertionError as error:
        error.add_note(f"seed {seed}, {steps} steps; what happened last:\n" + "\n".join(simulation.world.diary))
        raise
    finally:
        simulation.world.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_is_lost_or_told_twice_in_a_world_that_breaks(redis_url: str, namespace: str, seed: int) -> None:
    seen = simulate(redis_url, namespace, seed, 2500)
    for what in ("claimed", "reruns", "lost", "refused", "released", "succeeded", "dead", "canceled"):
        assert seen[what], f"in this world nothing was {what}: {seen}"


@pytest.mark.minutes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [*range(100, 120), None])
def test_nothing_is_lost_or_told_twice_in_many_worlds(redis_url: str, namespace: str, seed: int | None) -> None:
    """The last is another one each time; a failure says which."""
    simulate(redis_url, namespace, random.SystemRandom().randrange(10**9) if seed is None else seed, 5000)
