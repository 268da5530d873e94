// SPDX-License-Identifier: Apache-2.0
#include "comm/stage_links.hpp"

#include <mpi.h>

#include <algorithm>
#include <exception>
#include <list>
#include <map>
#include <vector>

#include "comm/mpi_check.hpp"
#include "kernels/elementwise.hpp"

namespace polyphase {
namespace {

constexpr bool kTensorsOnHost = Kokkos::SpaceAccessibility<Kokkos::HostSpace, Memory>::accessible;
constexpr int kNumSubjects = static_cast<int>(StageLinks::Subject::kParameter) + 1;

// MPI promises tags up to 32767; its libraries have many more.
int largest_tag() {
  int* value = nullptr;
  int found = 0;
  check_mpi(MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, static_cast<void*>(&value), &found),
            "MPI_Comm_get_attr");
  return found != 0 ? *value : 32767;
}

int tag_of(StageLinks::Name name) {
  static const int largest = largest_tag();
  const auto tag = static_cast<std::size_t>(kFirstStageTag) +
                   static_cast<std::size_t>(name.subject) + kNumSubjects * name.parameter;
  if (tag > static_cast<std::size_t>(largest)) {
    fail<SystemError>(
        "this MPI library has tags up to {}, and parameter {}, which stages share, needs {}: use "
        "another one, or parallel.pipeline: 1",
        largest, name.parameter, tag);
  }
  return static_cast<int>(tag);
}

// MPI counts are int.
template <class Transfer>
void in_pieces(std::size_t count, const Transfer& transfer) {
  const auto all = static_cast<std::int64_t>(count);
  for (std::int64_t first = 0; first < all; first += kMaxCount)
    transfer(first, static_cast<int>(std::min(kMaxCount, all - first)));
}

}  // namespace

struct StageLinks::State {
  struct Sent {
    std::vector<float> values;
    std::vector<MPI_Request> requests;

    bool has_arrived() {
      int done = 0;
      check_mpi(MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done,
                            MPI_STATUSES_IGNORE),
                "MPI_Testall");
      return done != 0;
    }
    void wait() {
      check_mpi(
          MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE),
          "MPI_Waitall");
    }
  };
  // To one stage under one name.
  struct Channel {
    std::int64_t planned_floats = 0;
    std::list<Sent> under_way, free;  // the oldest first; memory to use again
  };
  std::map<std::pair<int, Name>, Channel> channels;
  std::vector<float> received;  // on its way to a device

  void take_back(Channel& channel) {
    for (auto sent = channel.under_way.begin(); sent != channel.under_way.end();) {
      const auto next = std::next(sent);
      if (sent->has_arrived()) channel.free.splice(channel.free.end(), channel.under_way, sent);
      sent = next;
    }
  }
};

StageLinks::StageLinks(const Communicator& pipeline)
    : pipeline_(pipeline), state_(std::make_unique<State>()) {}

// What was sent has been received by the end of a sound run.
StageLinks::~StageLinks() {
  if (std::uncaught_exceptions() > 0) return;
  const WaitsForRanks waits(pipeline_.impl());
  for (auto& [key, channel] : state_->channels)
    for (State::Sent& sent : channel.under_way) sent.wait();
}

std::int64_t StageLinks::most_under_way(Name name) const {
  const std::int64_t most = name.subject == Subject::kParameter ? num_stages() : kMostRows;
  return std::min(most, messages_a_step_);
}

void StageLinks::plan(int stage, Name name, std::int64_t num_floats) {
  std::int64_t& planned = state_->channels[{stage, name}].planned_floats;
  planned = std::max(planned, num_floats);
}

std::size_t StageLinks::planned_bytes() const {
  std::int64_t floats = 0;
  for (const auto& [key, channel] : state_->channels)
    floats += most_under_way(key.second) * channel.planned_floats;
  return static_cast<std::size_t>(floats) * sizeof(float);
}

std::size_t StageLinks::held_bytes() const {
  std::size_t floats = 0;
  for (const auto& [key, channel] : state_->channels) {
    for (const auto* list : {&channel.under_way, &channel.free})
      for (const State::Sent& sent : *list) floats += sent.values.capacity();
  }
  return floats * sizeof(float);
}

void StageLinks::send(const Exec& exec, int stage, Name name, Tensor1<const float> tensor) {
  State::Channel& channel = state_->channels[{stage, name}];
  // All of a channel's memory at once, so that a run needs what was planned whoever is late.
  if (channel.under_way.empty() && channel.free.empty()) {
    for (std::int64_t i = 0; i < most_under_way(name); ++i)
      channel.free.emplace_back().values.reserve(static_cast<std::size_t>(channel.planned_floats));
  }
  state_->take_back(channel);
  if (channel.free.empty()) {
    POLYPHASE_PROMISE(this->stage() != stage, "a stage waits for room in what it sends itself");
    const WaitsForRanks waits(pipeline_.impl());
    channel.under_way.front().wait();
    state_->take_back(channel);
  }
  channel.under_way.splice(channel.under_way.end(), channel.free, channel.free.begin());
  State::Sent& sent = channel.under_way.back();
  sent.values.resize(tensor.size());
  sent.requests.clear();
  copy_to_host(exec, sent.values.data(), tensor);
  in_pieces(tensor.size(), [&](std::int64_t first, int count) {
    sent.requests.push_back(MPI_REQUEST_NULL);
    check_mpi(MPI_Isend(sent.values.data() + first, count, MPI_FLOAT, stage, tag_of(name),
                        pipeline_.impl().comm, &sent.requests.back()),
              "MPI_Isend");
  });
}

void StageLinks::send_in_place(const Exec& exec, int stage, Name name,
                               Tensor1<const float> tensor) {
  const float* values = tensor.data();
  std::vector<float> copy;
  if constexpr (kTensorsOnHost) {
    exec.space.fence();
  } else {
    copy.resize(tensor.size());
    copy_to_host(exec, copy.data(), tensor);
    values = copy.data();
  }
  const WaitsForRanks waits(pipeline_.impl());
  in_pieces(tensor.size(), [&](std::int64_t first, int count) {
    check_mpi(
        MPI_Send(values + first, count, MPI_FLOAT, stage, tag_of(name), pipeline_.impl().comm),
        "MPI_Send");
  });
}

void StageLinks::receive(const Exec& exec, int stage, Name name, Tensor1<float> tensor) {
  float* values = tensor.data();
  if constexpr (kTensorsOnHost) {
    exec.space.fence();
  } else {
    state_->received.resize(tensor.size());
    values = state_->received.data();
  }
  {
    const WaitsForRanks waits(pipeline_.impl());
    in_pieces(tensor.size(), [&](std::int64_t first, int count) {
      MPI_Status status;
      check_mpi(MPI_Recv(values + first, count, MPI_FLOAT, stage, tag_of(name),
                         pipeline_.impl().comm, &status),
                "MPI_Recv");
      int received = 0;
      check_mpi(MPI_Get_count(&status, MPI_FLOAT, &received), "MPI_Get_count");
      POLYPHASE_PROMISE(received == count, "stage {} sent {} numbers where {} were awaited", stage,
                        received, count);
    });
  }
  if constexpr (!kTensorsOnHost) copy_to_device<float>(exec, tensor, values);
}

void StageLinks::poll() {
  for (auto& [key, channel] : state_->channels) state_->take_back(channel);
}

}  // namespace polyphase
