// Two classes of streams that slow each other down. Each expectation is derived by hand from the
// model: work is done at rate 1, or at the class's rate while the other class is busy; a task ends
// at the first whole picosecond at which its work is done.

#include <catch2/catch.hpp>
#include <stdexcept>

#include "sim/engine/replay.hpp"

using namespace rehearse;

namespace {

// One device with a compute and a communication stream.
struct Device {
  TaskGraphBuilder builder;
  StreamId compute;
  StreamId communication;

  Device(double foreground_rate, double background_rate)
      : compute(builder.add_stream(0, StreamClass::kForeground)),
        communication(builder.add_stream(0, StreamClass::kBackground)) {
    builder.set_interference(foreground_rate, background_rate);
  }
  Timeline run() { return replay(std::move(builder).freeze()); }
};

}  // namespace

TEST_CASE("two overlapping tasks slow each other until the first one ends") {
  // Rates f = 0.5, b = 0.8; work F = 1000, B = 400, both from 0.
  // Together until B is done: T_b = B / b = 500. By then F has done f * T_b = 250; the other 750
  // run at full rate: T_f = T_b + F - f * T_b = F + (1 - f) * T_b = 1000 + 0.5 * 500 = 1250.
  Device device(0.5, 0.8);
  const TaskId compute = device.builder.add_task(device.compute, SimTime(1000));
  const TaskId send = device.builder.add_task(device.communication, SimTime(400));
  const Timeline timeline = device.run();
  CHECK(timeline.end[send] == SimTime(500));
  CHECK(timeline.end[compute] == SimTime(1250));
  CHECK(timeline.makespan == SimTime(1250));
}

TEST_CASE("a task slows down in the middle when another one starts") {
  // F = 1000 from 0; B = 80 from 300, rates f = 0.9, b = 0.8. B ends at 300 + 80 / 0.8 = 400.
  // F: 300 + 0.9 * 100 = 390 done at 400, 610 left: ends at 1010 = F + (1 - f) * 100.
  Device device(0.9, 0.8);
  const TaskId compute = device.builder.add_task(device.compute, SimTime(1000));
  const TaskId delay = device.builder.add_task(kNoStream, SimTime(300));
  const TaskId send = device.builder.add_task(device.communication, SimTime(80));
  device.builder.add_edge(delay, send);
  const Timeline timeline = device.run();
  CHECK(timeline.start[send] == SimTime(300));
  CHECK(timeline.end[send] == SimTime(400));
  CHECK(timeline.end[compute] == SimTime(1010));
}

TEST_CASE("a task that starts beside a busy class is slow from its start") {
  // B = 1000 from 0, b = 1. F = 90 from 100 at f = 0.9 takes 100.
  Device device(0.9, 1.0);
  device.builder.add_task(device.communication, SimTime(1000));
  const TaskId delay = device.builder.add_task(kNoStream, SimTime(100));
  const TaskId compute = device.builder.add_task(device.compute, SimTime(90));
  device.builder.add_edge(delay, compute);
  const Timeline timeline = device.run();
  CHECK(timeline.start[compute] == SimTime(100));
  CHECK(timeline.end[compute] == SimTime(200));
}

TEST_CASE("a fraction of a picosecond at the end is rounded up") {
  // F = 10, f = 0.3, B = 7 with b = 1: 2.1 done at 7, 7.9 left, done at 14.9, hence 15.
  Device device(0.3, 1.0);
  const TaskId compute = device.builder.add_task(device.compute, SimTime(10));
  device.builder.add_task(device.communication, SimTime(7));
  CHECK(device.run().end[compute] == SimTime(15));
}

TEST_CASE("fractions of a picosecond add up exactly over many changes of rate") {
  // Ten sends of 1 ps, 1 ps apart, each cost a compute task at f = 0.9 a tenth of a picosecond: 100
  // of work end at 101. Rounding at each change would end at 110.
  Device device(0.9, 1.0);
  const TaskId compute = device.builder.add_task(device.compute, SimTime(100));
  for (int i = 0; i < 10; ++i) {
    const TaskId send = device.builder.add_task(device.communication, SimTime(1));
    if (i > 0) device.builder.add_edge(send - 1, send);
    const TaskId gap = device.builder.add_task(kNoStream, SimTime(1));
    device.builder.add_edge(send, gap);
  }
  CHECK(device.run().end[compute] == SimTime(101));
}

TEST_CASE("tasks back to back are one busy interval") {
  // Two sends of 10 from 0 to 20 (b = 1). F = 30 at f = 0.5 does 10 by then and ends at 40. Its
  // rate changes twice, when the sends begin and when they end, and not at 10.
  Device device(0.5, 1.0);
  const TaskId compute = device.builder.add_task(device.compute, SimTime(30));
  device.builder.add_task(device.communication, SimTime(10));
  device.builder.add_task(device.communication, SimTime(10));
  const Timeline timeline = device.run();
  CHECK(timeline.end[compute] == SimTime(40));
  CHECK(timeline.events == 2 * 3 + 2);
}

TEST_CASE("several busy streams of a class slow the other class no more than one") {
  // Two sends of 80 at once, both at b = 0.8, end at 100. F = 500 at f = 0.9 ends at 500 + 10.
  Device device(0.9, 0.8);
  const StreamId second = device.builder.add_stream(0, StreamClass::kBackground);
  const TaskId compute = device.builder.add_task(device.compute, SimTime(500));
  const TaskId a = device.builder.add_task(device.communication, SimTime(80));
  const TaskId b = device.builder.add_task(second, SimTime(80));
  const Timeline timeline = device.run();
  CHECK(timeline.end[a] == SimTime(100));
  CHECK(timeline.end[b] == SimTime(100));
  CHECK(timeline.end[compute] == SimTime(510));
}

TEST_CASE("streams of one class do not slow each other") {
  Device device(0.5, 0.5);
  const StreamId second = device.builder.add_stream(0, StreamClass::kForeground);
  const TaskId a = device.builder.add_task(device.compute, SimTime(100));
  const TaskId b = device.builder.add_task(second, SimTime(100));
  const Timeline timeline = device.run();
  CHECK(timeline.end[a] == SimTime(100));
  CHECK(timeline.end[b] == SimTime(100));
}

TEST_CASE("independent streams, delays and other domains neither slow nor are slowed") {
  Device device(0.5, 0.5);
  const StreamId host = device.builder.add_stream(0, StreamClass::kIndependent);
  const StreamId elsewhere = device.builder.add_stream(1, StreamClass::kBackground);
  const TaskId compute = device.builder.add_task(device.compute, SimTime(100));
  const TaskId issue = device.builder.add_task(host, SimTime(100));
  const TaskId delay = device.builder.add_task(kNoStream, SimTime(100));
  const TaskId other = device.builder.add_task(elsewhere, SimTime(100));
  const Timeline timeline = device.run();
  CHECK(timeline.end[compute] == SimTime(100));
  CHECK(timeline.end[issue] == SimTime(100));
  CHECK(timeline.end[delay] == SimTime(100));
  CHECK(timeline.end[other] == SimTime(100));
}

TEST_CASE("a task without duration slows nobody") {
  Device device(0.5, 0.5);
  const TaskId compute = device.builder.add_task(device.compute, SimTime(100));
  const TaskId marker = device.builder.add_task(device.communication, SimTime(0));
  const TaskId delay = device.builder.add_task(kNoStream, SimTime(40));
  const TaskId later = device.builder.add_task(device.communication, SimTime(0));
  device.builder.add_edge(delay, later);
  const Timeline timeline = device.run();
  CHECK(timeline.end[marker] == SimTime(0));
  CHECK(timeline.end[later] == SimTime(40));
  CHECK(timeline.end[compute] == SimTime(100));
  CHECK(timeline.events == 8);
}

TEST_CASE("classes that take turns do not slow each other") {
  // Each starts at the instant the other ends.
  Device device(0.5, 0.5);
  TaskId previous = device.builder.add_task(device.compute, SimTime(10));
  for (int i = 1; i < 6; ++i) {
    const TaskId next =
        device.builder.add_task(i % 2 == 0 ? device.compute : device.communication, SimTime(10));
    device.builder.add_edge(previous, next);
    previous = next;
  }
  CHECK(device.run().makespan == SimTime(60));
}

TEST_CASE("sweep refuses a graph that interferes, and simulate replays it") {
  Device device(0.5, 1.0);
  device.builder.add_task(device.compute, SimTime(100));
  device.builder.add_task(device.communication, SimTime(20));
  const TaskGraph graph = std::move(device.builder).freeze();
  CHECK_THROWS_AS(sweep(graph), std::logic_error);
  CHECK(simulate(graph).makespan == SimTime(110));
}

TEST_CASE("a task goes at the least of its rates beside the classes that run") {
  // F of class c: 0.5 beside the copy, 0.8 beside the send. Copy of 20 at full rate, send of 80 at
  // full rate. F = 100: 10 done at 20, then 0.8 * 60 = 48 more at 80, 42 left: ends at 122.
  Device device(1.0, 1.0);
  const TaskClass c = device.builder.add_class(), copies = device.builder.add_class();
  device.builder.set_rate(c, copies, 0.5);
  device.builder.set_rate(c, kBackgroundTasks, 0.8);
  const StreamId second = device.builder.add_stream(0, StreamClass::kForeground);
  const TaskId compute = device.builder.add_task(device.compute, SimTime(100), c);
  device.builder.add_task(second, SimTime(20), copies);
  device.builder.add_task(device.communication, SimTime(80));
  CHECK(device.run().end[compute] == SimTime(122));
}

TEST_CASE("the next task of a stream goes at its own class's rate") {
  // Beside a send of 300 the first 50 take 100 at 0.5, the next 50, of class c, take 200 at 0.25.
  Device device(0.5, 1.0);
  const TaskClass c = device.builder.add_class();
  device.builder.set_rate(c, kBackgroundTasks, 0.25);
  device.builder.add_task(device.communication, SimTime(300));
  const TaskId first = device.builder.add_task(device.compute, SimTime(50));
  const TaskId next = device.builder.add_task(device.compute, SimTime(50), c);
  const Timeline timeline = device.run();
  CHECK(timeline.end[first] == SimTime(100));
  CHECK(timeline.end[next] == SimTime(300));
}

TEST_CASE("a held stream slows the other class until its next task starts") {
  // F = 1000 from 0, rate f = 0.5 while the communication stream is held, from 0 to 400:
  // 0.5 * 400 = 200 done by then, 800 left: ends at 1200.
  Device device(0.5, 1.0);
  const TaskId compute = device.builder.add_task(device.compute, SimTime(1000));
  const TaskId arrival = device.builder.add_task(device.communication, SimTime(0));
  device.builder.hold(arrival, kBackgroundTasks);
  const TaskId peer = device.builder.add_task(kNoStream, SimTime(400));
  const TaskId done = device.builder.add_task(device.communication, SimTime(0));
  device.builder.add_edge(peer, done);
  const Timeline timeline = device.run();
  CHECK(timeline.end[done] == SimTime(400));
  CHECK(timeline.end[compute] == SimTime(1200));
}
