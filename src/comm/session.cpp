// SPDX-License-Identifier: Apache-2.0
#include "comm/session.hpp"

#include <mpi.h>

#include "comm/job.hpp"
#include "comm/mpi_check.hpp"

namespace polyphase {
namespace {

Communicator adopt(MPI_Comm comm, bool owned) {
  auto impl = std::make_unique<Communicator::Impl>();
  impl->comm = comm;
  impl->owned = owned;
  check_mpi(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(comm, &impl->rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(comm, &impl->size), "MPI_Comm_size");
  return Communicator(std::move(impl));
}

Communicator start_world(int* argc, char*** argv) {
  int provided = MPI_THREAD_SINGLE;
  // Only the main thread calls MPI, but for abort_job(); the reader and OpenMP threads never do.
  check_mpi(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_FUNNELED) {
    fail<SystemError>("this MPI library offers no MPI_THREAD_FUNNELED; use one built with threads");
  }
  return adopt(MPI_COMM_WORLD, false);
}

}  // namespace

Communicator split(const Communicator::Impl& parent, int colour, int key) {
  MPI_Comm part = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(parent.comm, colour, key, &part), "MPI_Comm_split");
  return adopt(part, true);
}

MpiSession::MpiSession(int* argc, char*** argv) : world_(start_world(argc, argv)) {}

MpiSession::~MpiSession() { MPI_Finalize(); }

MpiSession::RankOfNode MpiSession::rank_of_node() const {
  MPI_Comm node = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node),
            "MPI_Comm_split_type");
  RankOfNode place;
  check_mpi(MPI_Comm_rank(node, &place.rank), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(node, &place.size), "MPI_Comm_size");
  check_mpi(MPI_Comm_free(&node), "MPI_Comm_free");
  return place;
}

void MpiSession::abort(ExitCode code) const { abort_job(code); }

Communicator planning_communicator(int size, int rank) {
  auto impl = std::make_unique<Communicator::Impl>();
  impl->size = size;
  impl->rank = rank;
  return Communicator(std::move(impl));
}

RankGrid make_grid(const Communicator& world, int tensor_size, int pipeline_size) {
  const int copy_size = tensor_size * pipeline_size;
  if (tensor_size < 1 || pipeline_size < 1 || world.size() % copy_size != 0) {
    fail<RecipeError>(
        "parallel.tensor {} × parallel.pipeline {} do not divide the {} ranks of this job; start a "
        "multiple of {} ranks or change these keys",
        tensor_size, pipeline_size, world.size(), copy_size);
  }
  const int data_size = world.size() / copy_size;
  const int tensor_rank = world.rank() % tensor_size;
  const int data_rank = world.rank() / tensor_size % data_size;
  const int stage = world.rank() / (tensor_size * data_size);
  return {.tensor = split(world.impl(), stage * data_size + data_rank, tensor_rank),
          .data = split(world.impl(), stage * tensor_size + tensor_rank, data_rank),
          .pipeline = split(world.impl(), data_rank * tensor_size + tensor_rank, stage)};
}

}  // namespace polyphase
