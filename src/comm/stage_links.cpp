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

int tag_of(StageLinks::Subject subject) { return kFirstStageTag + static_cast<int>(subject); }

// MPI counts are int.
template <class Transfer>
void in_pieces(std::int64_t count, const Transfer& transfer) {
  for (std::int64_t first = 0; first < count; first += kMaxCount)
    transfer(first, static_cast<int>(std::min(kMaxCount, count - first)));
}

}  // namespace

struct StageLinks::State {
  struct Sent {
    Subject subject;
    std::vector<float> values;
    std::vector<MPI_Request> requests;
  };
  std::list<Sent> under_way;
  // Memory to use again: that of a token table is not for rows.
  std::map<Subject, std::vector<std::vector<float>>> free;

  std::vector<float> memory(Subject subject, std::size_t count) {
    std::vector<std::vector<float>>& own = free[subject];
    std::vector<float> values;
    if (!own.empty()) {
      values = std::move(own.back());
      own.pop_back();
    }
    values.resize(count);
    return values;
  }

  void take_back() {
    for (auto sent = under_way.begin(); sent != under_way.end();) {
      int done = 0;
      check_mpi(MPI_Testall(static_cast<int>(sent->requests.size()), sent->requests.data(), &done,
                            MPI_STATUSES_IGNORE),
                "MPI_Testall");
      if (done == 0) {
        ++sent;
        continue;
      }
      free[sent->subject].push_back(std::move(sent->values));
      sent = under_way.erase(sent);
    }
  }
};

StageLinks::StageLinks(const Communicator& pipeline)
    : pipeline_(pipeline), state_(std::make_unique<State>()) {}

// What was sent has been received by the end of a sound run.
StageLinks::~StageLinks() {
  if (std::uncaught_exceptions() > 0) return;
  const WaitsForRanks waits(pipeline_.impl());
  for (State::Sent& sent : state_->under_way)
    MPI_Waitall(static_cast<int>(sent.requests.size()), sent.requests.data(), MPI_STATUSES_IGNORE);
}

void StageLinks::send(const Exec& exec, int stage, Subject subject, Tensor1<const float> tensor) {
  state_->take_back();
  State::Sent& sent = state_->under_way.emplace_back();
  sent.subject = subject;
  sent.values = state_->memory(subject, tensor.size());
  copy_to_host(exec, sent.values.data(), tensor);
  in_pieces(static_cast<std::int64_t>(tensor.size()), [&](std::int64_t first, int count) {
    sent.requests.push_back(MPI_REQUEST_NULL);
    check_mpi(MPI_Isend(sent.values.data() + first, count, MPI_FLOAT, stage, tag_of(subject),
                        pipeline_.impl().comm, &sent.requests.back()),
              "MPI_Isend");
  });
}

void StageLinks::receive(const Exec& exec, int stage, Subject subject, Tensor1<float> tensor) {
  const WaitsForRanks waits(pipeline_.impl());
  std::vector<float> values = state_->memory(subject, tensor.size());
  in_pieces(static_cast<std::int64_t>(tensor.size()), [&](std::int64_t first, int count) {
    check_mpi(MPI_Recv(values.data() + first, count, MPI_FLOAT, stage, tag_of(subject),
                       pipeline_.impl().comm, MPI_STATUS_IGNORE),
              "MPI_Recv");
  });
  copy_to_device(exec, tensor, values.data());
  state_->free[subject].push_back(std::move(values));
}

void StageLinks::poll() { state_->take_back(); }

void StageLinks::finish() {
  const WaitsForRanks waits(pipeline_.impl());
  for (State::Sent& sent : state_->under_way) {
    check_mpi(MPI_Waitall(static_cast<int>(sent.requests.size()), sent.requests.data(),
                          MPI_STATUSES_IGNORE),
              "MPI_Waitall");
  }
  state_->take_back();
}

}  // namespace polyphase
