/* SPDX-License-Identifier: MIT
 *
 * The sidecar as a JSON object that keeps the order of keys: equal files are equal bytes. Costs
 * some microseconds and looks at no file.
 */
#include "sidecar.h"

#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "utf8.h"

/* "bids:DATASET:PATH" in ASCII, other bytes percent-encoded. NULL: out of memory. Source: BIDS
 * specification, Common principles, "BIDS URI"; RFC 3986, 2.3 and 3.3. */
static json_t *uri_json(const char *dataset, const struct run *run)
{
    char *uri = malloc(strlen("bids::") + strlen(dataset) + 3 * strlen(run->path) + 1);
    char *to = uri ? uri + sprintf(uri, "bids:%s:", dataset) : NULL;
    json_t *value;

    for (const char *c = run->path; uri && *c; c++)
        if (isascii((unsigned char)*c) && (isalnum((unsigned char)*c) || strchr("-._~/", *c)))
            *to++ = *c;
        else
            to += sprintf(to, "%%%02X", (unsigned char)*c);
    if (uri)
        *to = '\0';
    value = uri ? json_string(uri) : NULL;
    free(uri);
    return value;
}

static json_t *sources_json(const struct derived *d, const char *dataset)
{
    json_t *list = json_array();

    for (size_t i = 0; i < d->nruns; i++)
        if (json_array_append_new(list, uri_json(dataset, d->runs[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    for (size_t i = 0; derived_input_file(d, i); i++)
        if (json_array_append_new(list, uri_json(dataset, derived_input_file(d, i))) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* The files of an input, in the order of the runs; one that they share once. */
static json_t *files_json(const struct found_input *found, const char *dataset)
{
    json_t *list = json_array();

    for (size_t i = 0; list && i < found->nruns; i++)
        if (found->files[i] && (i == 0 || found->files[i] != found->files[i - 1]) &&
            json_array_append_new(list, uri_json(dataset, found->files[i])) < 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* What each file(...) of the definition is. */
static json_t *inputs_json(const struct derived *d, const char *dataset)
{
    json_t *object = json_object();

    for (size_t i = 0; object && i < d->inputs.n; i++) {
        const struct found_input *found = &d->inputs.list[i];
        char *text = input_text(found->input);
        int ret = text ? json_object_set_new(object, text, files_json(found, dataset)) : -1;

        free(text);
        if (ret < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* Texts of a recipes file may have any bytes. */
static json_t *text_json(const char *text)
{
    char *clean = strdup(text);
    json_t *value;

    if (!clean)
        return NULL;
    utf8_clean(clean);
    value = json_string(clean);
    free(clean);
    return value;
}

/* JSON has no infinite numbers. */
static json_t *number_json(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

static json_t *parameters_json(const struct recipe *recipe)
{
    json_t *object = json_object();

    for (size_t i = 0; i < recipe->nparams; i++)
        if (json_object_set_new(object, recipe->params[i].name,
                                number_json(recipe->params[i].value)) < 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}

/* A remark_fn. */
static int add_remark(void *ctx, const struct remark *remark)
{
    bool names_file = remark->kind == REMARK_OMITTED;
    json_t *list = ctx, *value;
    char *text;

    if (asprintf(&text, "%s%s%s", names_file ? remark->path : "",
                 names_file ? " is not used: " : "", remark->text) < 0)
        return -ENOMEM;
    value = text_json(text);
    free(text);
    return json_array_append_new(list, value) < 0 ? -ENOMEM : 0;
}

/* Set "Remarks" if there are any. */
static bool set_remarks(json_t *o, const struct derived *d)
{
    json_t *list = json_array();

    if (!list || derived_remarks(d, add_remark, list) < 0) {
        json_decref(list);
        return false;
    }
    if (json_array_size(list) > 0)
        return json_object_set_new(o, "Remarks", list) == 0;
    json_decref(list);
    return true;
}

/* The formula alone does not define the number. */
static char *definition_of(const struct derived *d)
{
    const char *bold =
        d->nruns > 1 ? "the runs in Sources, joined in time in this order" : "the run in Sources";
    const char *inputs = d->inputs.n > 0 ? "; each file(...) is what Inputs says" : "";
    char *text;

    if (asprintf(&text,
                 "%s, where bold is %s%s; std and var divide by the number of volumes less ddof (0 "
                 "unless given); computed in float64, stored as float32; 0/0 is NaN",
                 d->recipe->canonical, bold, inputs) < 0)
        return NULL;
    return text;
}

/* `value` is taken over. */
static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static bool fill(json_t *o, const struct derived *d, const char *dataset)
{
    const struct recipe *recipe = d->recipe;
    char *definition = definition_of(d);
    bool all = definition &&
               set(o, "Description",
                   text_json(*recipe->description ? recipe->description : recipe->text)) &&
               set(o, "Sources", sources_json(d, dataset)) &&
               (d->inputs.n == 0 || set(o, "Inputs", inputs_json(d, dataset))) &&
               set(o, "SpatialReference", uri_json(dataset, d->first ? d->first : d->runs[0])) &&
               set(o, "SkullStripped", json_false()) &&
               set(o, "Recipe", json_string(recipe->name)) &&
               set(o, "Expression", text_json(recipe->text)) &&
               (recipe->nparams == 0 || set(o, "Parameters", parameters_json(recipe))) &&
               set(o, "Definition", json_string(definition)) &&
               set(o, "SoftwareName", json_string("derivfs")) &&
               set(o, "SoftwareVersion", json_string(DERIVFS_VERSION)) && set_remarks(o, d);

    free(definition);
    return all;
}

char *sidecar_text(const struct derived *d, const char *dataset)
{
    json_t *o = json_object();
    char *text = o && fill(o, d, dataset) ? json_text(o) : NULL;

    json_decref(o);
    return text;
}
