/* split.c - see split.h. */
#include "reduce/split.h"

static void add_kept(cpr_split *s, int64_t dim, int64_t in, int64_t out)
{
    const int32_t last = s->n_kept - 1;
    if (last >= 0 && s->kept_in[last] == in * dim && s->kept_out[last] == out * dim) {
        s->kept_dim[last] *= dim;
        s->kept_in[last] = in;
        s->kept_out[last] = out;
        return;
    }
    s->kept_dim[s->n_kept] = dim;
    s->kept_in[s->n_kept] = in;
    s->kept_out[s->n_kept++] = out;
}

static void add_reduced(cpr_split *s, int64_t dim, int64_t in)
{
    const int32_t last = s->n_reduced - 1;
    if (last >= 0 && s->reduced_in[last] == in * dim) {
        s->reduced_dim[last] *= dim;
        s->reduced_in[last] = in;
        return;
    }
    s->reduced_dim[s->n_reduced] = dim;
    s->reduced_in[s->n_reduced++] = in;
}

cpr_split cpr_split_dims(const cpr_tensor *in, const cpr_tensor *out)
{
    cpr_split s = {.outputs = cpr_elements(out), .count = 1};
    const int64_t in_size = cpr_dtype_bytes(in->dtype), out_size = cpr_dtype_bytes(out->dtype);
    int32_t dense = -1;
    for (int32_t i = 0; i < in->rank; i++) {
        if (out->dim[i] == 1)
            s.count *= in->dim[i];
        if (in->dim[i] == 1)
            continue;
        if (out->dim[i] == 1) {
            if (in->dim[i] > 0)
                add_reduced(&s, in->dim[i], in->stride[i] * in_size);
        } else if (out->dim[i] > 0 && in->stride[i] == 1 && dense < 0)
            dense = i;
        else if (out->dim[i] > 0)
            add_kept(&s, out->dim[i], in->stride[i] * in_size, out->stride[i] * out_size);
    }
    if (dense >= 0)
        add_kept(&s, out->dim[dense], in_size, out->stride[dense] * out_size);
    if (s.n_kept == 0)
        add_kept(&s, 1, 0, 0);
    if (s.n_reduced == 0)
        add_reduced(&s, 1, in_size);
    return s;
}

void cpr_split_at(const cpr_split *s, int64_t output, int64_t *in, int64_t *out)
{
    *in = *out = 0;
    for (int32_t k = s->n_kept - 1; k >= 0; k--) {
        const int64_t index = output % s->kept_dim[k];
        *in += index * s->kept_in[k];
        *out += index * s->kept_out[k];
        output /= s->kept_dim[k];
    }
}

void cpr_split_next(const cpr_split *s, cpr_odometer *at)
{
    for (int32_t k = s->n_reduced - 2; k >= 0; k--) {
        at->offset += s->reduced_in[k];
        if (++at->index[k] < s->reduced_dim[k])
            return;
        at->offset -= s->reduced_dim[k] * s->reduced_in[k];
        at->index[k] = 0;
    }
}
