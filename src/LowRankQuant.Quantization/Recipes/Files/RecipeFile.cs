using System.Text.Json;
using System.Text.Json.Nodes;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Targets;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace LowRankQuant.Quantization.Recipes.Files;

/// <summary>
/// A recipe as a file, in YAML or JSON (JSON is YAML too):
/// <code>
/// preset:   fast | paper
/// weights:  bits, group_size (N, channel, tensor), symmetric, zeros (integer, float), scale_dtype; or grid: a grid with a name
/// layers:   rules, the last that matches counts: match: a glob or re:EXPRESSION, and bits, group_size, symmetric, zeros or grid; grid: keep for linears that stay in their own type
/// blocks:   rules, the last that names a block says more: blocks: 7,9,12-15; stage: a method (NAME: its options); seed. Their grids are rules of layers
/// scheme:   a named scheme, which gives what nothing else says
/// activations: BITS:tensor|token[:symmetric|asymmetric] or fp8:token|128, activation_range, per_token (patterns)
/// cache:    BITS:tensor|head|token|token-head[:symmetric|asymmetric], cache_range, keys: before | after (their rotation)
/// embedding, head: 8 | 4 | off
/// target:   engine, on_misfit, tensor_parallel; or the engine alone
/// stages:   in order: transforms (NAME: its options; none for not even the scheme's), the method, perhaps at last tune: steps, rate, code_rate, batch, samples
/// data:     calibration (files, folders, patterns, data sets by name, each perhaps with =WEIGHT; or self), calibration_format, text_field, add_bos, chat_template_kwargs, assistant_only, samples, held_out, sequence_length
/// evaluation: eval_text, eval_text_format, join_rows, eval_windows, eval_context, in_depth (true), swap_windows
/// output:   format, adapter_form, shard_size
/// precision: fp32 | bf16
/// seed
/// </code>
/// </summary>
public static class RecipeFile
{
    /// <summary>Where keys are quantized: before their rotation.</summary>
    public const string BeforeRotation = "before";

    /// <summary>Where keys are quantized: behind their rotation.</summary>
    public const string BehindRotation = "after";

    /// <summary>The stage that tunes the whole model.</summary>
    public const string Tune = "tune";

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>A resolved recipe as JSON: read again, it resolves to the same.</summary>
    public static string Text(Recipe recipe, RecipeTexts? texts = null) => Write(recipe, texts).ToJsonString(Indented) + "\n";

    /// <summary>The same as YAML.</summary>
    public static string Yaml(Recipe recipe, RecipeTexts? texts = null)
    {
        var writer = new StringWriter { NewLine = "\n" };
        var emitter = new Emitter(writer);
        emitter.Emit(new StreamStart());
        emitter.Emit(new DocumentStart(null, null, isImplicit: true));
        Emit(emitter, Write(recipe, texts));
        emitter.Emit(new DocumentEnd(isImplicit: true));
        emitter.Emit(new StreamEnd());
        return writer.ToString();
    }

    /// <summary>A resolved recipe as an object.</summary>
    public static JsonObject Write(Recipe recipe, RecipeTexts? texts = null)
    {
        JsonObject weights = Grid(recipe.Grid);
        weights["scale_dtype"] = Choices.Of(GridNames.ScaleTypes, recipe.ScaleType);
        // Where nothing looks at text no value comes from a preset.
        JsonObject file = recipe.Samples > 0 || recipe.Tuning is not null ? new() { ["preset"] = recipe.Preset } : [];
        file["weights"] = weights;
        JsonNode?[] rules = [.. Rules(recipe)];
        if (rules.Length > 0) file["layers"] = new JsonArray(rules);
        if (recipe.Activations is { } activations)
        {
            file["activations"] = ActivationNames.Of(activations.Grid);
            if (!activations.Grid.IsDynamic) file["activation_range"] = RangeNames.Of(activations.Range);
            if (activations.PerToken.Count > 0) file["per_token"] = new JsonArray([.. activations.PerToken.Select(pattern => (JsonNode?)pattern)]);
        }
        if (recipe.Cache is { } cache)
        {
            file["cache"] = ActivationNames.Of(cache.Grid);
            file["keys"] = cache.BeforeRotation ? BeforeRotation : BehindRotation;
            if (!cache.Grid.IsDynamic) file["cache_range"] = RangeNames.Of(cache.Range);
        }
        if (recipe.Vocabulary is { } vocabulary)
        {
            file["embedding"] = vocabulary.Embedding is { } embedding ? embedding.Bits : "off";
            file["head"] = vocabulary.Head is { } head ? head.Bits : "off";
        }
        if (recipe.Target is { } target)
        {
            file["target"] = new JsonObject { ["engine"] = TargetNames.Of(target.Engine), ["on_misfit"] = Choices.Of(TargetNames.MisfitRules, target.OnMisfit) };
            if (target.Engine == Target.Vllm) file["target"]!["tensor_parallel"] = target.TensorParallel;
        }
        var stages = new JsonArray([.. recipe.Transforms.Select(transform => (JsonNode?)new JsonObject { [transform.Name] = Values(transform.Values) })]);
        stages.Add((JsonNode)new JsonObject { [recipe.Method.Method] = Values(recipe.Method.Values) });
        stages.Add((JsonNode)new JsonObject
        {
            [Tune] = recipe.Tuning is { } tuning ? Tuned(tuning) : new JsonObject { ["steps"] = 0 },
        });
        file["stages"] = stages;
        if (recipe.Blocks.Count > 0) file["blocks"] = new JsonArray([.. recipe.Blocks.Select(own => (JsonNode?)Own(own))]);
        var data = new JsonObject();
        if (texts is { Calibration.Count: > 0 }) data["calibration"] = new JsonArray([.. texts.Calibration.Select(text => (JsonNode?)text)]);
        // Without text there are no windows.
        if (recipe.Samples > 0) (data["samples"], data["held_out"], data["sequence_length"]) = (recipe.Samples, recipe.HeldOut, recipe.SequenceLength);
        Section("data", RecipeTexts.DataKeys, data);
        Section("evaluation", RecipeTexts.EvaluationKeys, []);
        Section("output", RecipeTexts.OutputKeys, []);
        if (recipe.Precision != Precision.Single) file["precision"] = Choices.Of(PrecisionNames.All, recipe.Precision);
        file["seed"] = recipe.Seed;
        return file;

        void Section(string name, IEnumerable<string> keys, JsonObject section)
        {
            foreach (string key in keys)
            {
                if (texts?.Values.TryGetValue(key, out string? value) == true) section[key] = value;
            }
            if (section.Count > 0) file[name] = section;
        }
    }

    private static void Emit(Emitter emitter, JsonNode? node)
    {
        switch (node)
        {
            case JsonObject map:
                emitter.Emit(new MappingStart());
                foreach ((string key, JsonNode? value) in map)
                {
                    emitter.Emit(new YamlDotNet.Core.Events.Scalar(key));
                    Emit(emitter, value);
                }
                emitter.Emit(new MappingEnd());
                break;
            case JsonArray list:
                emitter.Emit(new SequenceStart(null, null, isImplicit: true, SequenceStyle.Any));
                foreach (JsonNode? item in list) Emit(emitter, item);
                emitter.Emit(new SequenceEnd());
                break;
            default:
                // Strings that YAML would take for something else are quoted by it.
                string text = node is JsonValue single && single.TryGetValue(out string? word) ? word : node?.ToJsonString() ?? "";
                emitter.Emit(new YamlDotNet.Core.Events.Scalar(text));
                break;
        }
    }

    private static JsonObject Grid(WeightGrid grid) => grid switch
    {
        AffineGrid affine => new JsonObject
        {
            ["bits"] = affine.Bits,
            ["group_size"] = affine.GroupSize,
            ["zeros"] = Choices.Of(GridNames.Zeros, ZeroKind.Float),
        },
        TwoLevelGrid or FloatGrid => new JsonObject { ["grid"] = NamedGrids.NameOf(grid)!.ToLowerInvariant() },
        UniformGrid uniform => new JsonObject
        {
            ["bits"] = uniform.Bits,
            ["group_size"] = uniform.Granularity switch { Granularity.Channel => "channel", Granularity.Tensor => "tensor", _ => uniform.GroupSize },
            ["symmetric"] = uniform.Symmetric,
        },
        _ => throw new ArgumentOutOfRangeException(nameof(grid), grid, "Unknown grid."),
    };

    private static JsonObject Tuned(TuningRecipe tuning)
    {
        var stage = new JsonObject { ["steps"] = tuning.Steps, ["rate"] = tuning.LearningRate, ["batch"] = tuning.Batch, ["samples"] = tuning.Samples };
        if (tuning.CodeRate is { } rate) stage["code_rate"] = rate;
        return stage;
    }

    private static JsonObject Own(BlockRecipe own) => new()
    {
        ["blocks"] = BlockList.Text(own.Blocks),
        ["stage"] = new JsonObject { [own.Method.Method] = Values(own.Method.Values) },
        ["seed"] = own.Seed,
    };

    // The last that matches counts: what is quantized on the usual grid though its family keeps it, what has a grid of its own, what stays in its own type.
    private static IEnumerable<JsonNode?> Rules(Recipe recipe)
    {
        IReadOnlyDictionary<string, LayerGrid> layers = recipe.Layers ?? new Dictionary<string, LayerGrid>();
        foreach (string linear in recipe.Selection?.Quantized.Where(name => !layers.ContainsKey(name)) ?? []) yield return Rule(linear, recipe.Grid);
        foreach ((string layer, LayerGrid grid) in layers) yield return Rule(layer, grid.ToGrid());
        foreach (string linear in recipe.Selection?.Kept ?? []) yield return new JsonObject { ["match"] = linear, ["grid"] = LayerRule.Keep };
    }

    private static JsonObject Rule(string layer, WeightGrid grid)
    {
        JsonObject rule = Grid(grid);
        rule.Insert(0, "match", layer);
        return rule;
    }

    // Numbers and yes or no stand as such, so that a reader of the file sees what they are.
    private static JsonObject Values(IEnumerable<KeyValuePair<string, string>> values)
    {
        var node = new JsonObject();
        foreach ((string key, string text) in values)
        {
            node[key] = text switch
            {
                "true" => true,
                "false" => false,
                _ when long.TryParse(text, System.Globalization.NumberStyles.AllowLeadingSign, System.Globalization.CultureInfo.InvariantCulture, out long whole) => whole,
                _ when double.TryParse(text, System.Globalization.NumberStyles.Float, System.Globalization.CultureInfo.InvariantCulture, out double number) => number,
                _ => text,
            };
        }
        return node;
    }
}
