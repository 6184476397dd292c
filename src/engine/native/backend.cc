// The C interface on top of the CPU decoder. No exception leaves this file.
#include "backend.h"

#include <cstdio>

#include "decoder/decoder.h"
#include "guarded.h"
#include "launched-steps.h"

struct pm_model {
  explicit pm_model(const pm_plan& plan) : decoder(plan), steps((size_t)plan.vocab_size, (size_t)plan.hidden_size) {}
  pm::Decoder decoder;
  pm::LaunchedSteps steps;
};

extern "C" {

int pm_abi_version(void) { return PM_ABI_VERSION; }

int pm_probe(pm_device* device, char*, size_t) {
  *device = {};
  snprintf(device->name, sizeof device->name, "cpu");
  return 0;
}

int pm_open(const pm_plan* plan, pm_model** model, char* error, size_t error_size) {
  *model = nullptr;
  return pm::guarded(error, error_size, [&] { *model = new pm_model(*plan); });
}

int pm_launch(pm_model* model, const pm_batch* batch, char* error, size_t error_size) {
  return pm::guarded(error, error_size, [&] {
    const pm_batch fed = model->steps.fed(*batch);
    model->decoder.step(fed, model->steps.roomFor(*batch));
    model->steps.launched();
  });
}

int pm_wait(pm_model* model, const pm_results* results, char* error, size_t error_size) {
  return pm::guarded(error, error_size, [&] { model->steps.take(*results); });
}

int pm_load_adapter(pm_model* model, int32_t slot, const pm_adapter* adapter, char* error, size_t error_size) {
  return pm::guarded(error, error_size, [&] { model->decoder.loadAdapter(slot, *adapter); });
}

void pm_unload_adapter(pm_model* model, int32_t slot) { model->decoder.unloadAdapter(slot); }

void pm_memory(const pm_model* model, pm_memory_use* use) { *use = model->decoder.memory(); }

void pm_close(pm_model* model) { delete model; }

}  // extern "C"
