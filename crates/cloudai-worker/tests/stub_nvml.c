/* A stand-in for NVIDIA's management library: two GPUs that are always the same. Only what the worker asks for is here; whatever
 * else is asked for is missing, as in an older driver. */
#include <stdio.h>
#include <string.h>

typedef void *device_t;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2_t;
typedef struct { unsigned gpu, memory; } utilization_t;

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3 };

static const char *UUIDS[] = {"GPU-11111111-aaaa-bbbb-cccc-000000000001", "GPU-22222222-aaaa-bbbb-cccc-000000000002"};
static unsigned index_of(device_t device) { return (unsigned)((unsigned long)device - 1); }

int nvmlInit_v2(void) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device_t *device) {
    if (index >= 2) return INVALID_ARGUMENT;
    *device = (device_t)(unsigned long)(index + 1);
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, device_t *device) {
    for (unsigned i = 0; i < 2; i++)
        if (strcmp(uuid, UUIDS[i]) == 0) return nvmlDeviceGetHandleByIndex_v2(i, device);
    return INVALID_ARGUMENT;
}

int nvmlDeviceGetUUID(device_t device, char *uuid, unsigned length) {
    snprintf(uuid, length, "%s", UUIDS[index_of(device)]);
    return SUCCESS;
}

int nvmlDeviceGetName(device_t device, char *name, unsigned length) {
    (void)device;
    snprintf(name, length, "Stub Accelerator 9");
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(device_t device, memory_v2_t *memory) {
    memory->total = 16ULL << 30;
    memory->used = (1ULL << 30) * (index_of(device) + 1);
    memory->reserved = 0;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

/* The second one does not say how busy it is. */
int nvmlDeviceGetUtilizationRates(device_t device, utilization_t *rates) {
    if (index_of(device) == 1) return NOT_SUPPORTED;
    rates->gpu = 37;
    rates->memory = 5;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(device_t device, int sensor, unsigned *celsius) {
    (void)sensor;
    *celsius = 41 + index_of(device);
    return SUCCESS;
}
