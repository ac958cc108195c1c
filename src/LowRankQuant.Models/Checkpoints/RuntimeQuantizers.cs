using LowRankQuant.Formats.CompressedTensors;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Quantizers of activations and of the key-value cache that a compressed-tensors checkpoint asks its engine for.</summary>
public sealed class RuntimeQuantizers
{
    private const string WeightSuffix = ".weight";
    private readonly SafetensorsFolder _folder;
    private readonly Dictionary<string, QuantizationArgs> _inputs;

    /// <summary>Collects them.</summary>
    /// <param name="folder">The checkpoint's files.</param>
    /// <param name="config">Its configuration.</param>
    /// <param name="schemes">Scheme of every quantized module.</param>
    /// <param name="tensors">Stored scales and zero points of the quantizers, to be copied.</param>
    /// <param name="weightsOnlyTarget">The container, as <c>to</c> names it, that holds the weights without them.</param>
    internal RuntimeQuantizers(
        SafetensorsFolder folder, CompressedTensorsConfig config, IReadOnlyDictionary<string, QuantizationScheme> schemes, IReadOnlyList<PendingTensor> tensors,
        string weightsOnlyTarget)
    {
        _folder = folder;
        Config = config;
        Tensors = tensors;
        WeightsOnlyTarget = weightsOnlyTarget;
        _inputs = schemes.Where(pair => pair.Value.InputActivations is not null).ToDictionary(pair => pair.Key, pair => pair.Value.InputActivations!, StringComparer.Ordinal);
        List<string> all = [], others = [];
        if (config.KvCacheScheme is { } cache)
            Note($"a quantized key-value cache (kv_cache_scheme {cache.Describe()})", cache.ToActivationGrid() is { Scope: ActivationScope.Tensor or ActivationScope.Head });
        // A group without weights has no modules that could be told by their tensors.
        foreach (QuantizationScheme scheme in schemes.Values.Concat(config.Schemes.Where(scheme => scheme.Weights is null)).Distinct())
        {
            if (scheme.InputActivations is { } inputs)
                Note($"quantized inputs ({scheme.Name}: {inputs.Describe()})", IsExecuted(inputs, scheme.Weights));
            if (scheme.OutputActivations is { } outputs) Note($"quantized outputs ({scheme.Name}: {outputs.Describe()})", false);
        }
        Description = string.Join(", ", all);

        // Products are of integers, or of floats.
        static bool IsExecuted(QuantizationArgs inputs, QuantizationArgs? weights) => weights is not null && inputs.ToActivationGrid() is { } grid
            && (grid.Floats is null ? grid.Scope is ActivationScope.Tensor or ActivationScope.Token : weights.Type == "float");

        NotExecuted = others.Count == 0 ? null : string.Join(", ", others);

        void Note(string what, bool executed)
        {
            if (all.Contains(what)) return;
            all.Add(what);
            if (!executed) others.Add(what);
        }
    }

    /// <summary>What they are, for messages; empty where there are none.</summary>
    public string Description { get; }

    /// <summary>Those that are not executed here: floats beside integer weights, groups of integers, outputs, dynamic ranges of whole tensors; null where all are.</summary>
    public string? NotExecuted { get; }

    /// <summary>
    /// Whether they are no more than what an engine with 8-bit float products does to inputs as it runs, steps found anew for every token: the weights are a model without it, and a
    /// result that is quantized otherwise does not ask for it.
    /// </summary>
    public bool AreDynamicFloats => Config.KvCacheScheme is null && _inputs.Count > 0 && _inputs.Values.All(args => args is { Type: "float", Dynamic: not "false" })
        && Config.Schemes.All(scheme => scheme.OutputActivations is null && (scheme.InputActivations is null || scheme.Weights is not null));

    /// <summary>The checkpoint's configuration.</summary>
    public CompressedTensorsConfig Config { get; }

    /// <summary>Their stored scales and zero points, to be copied.</summary>
    public IReadOnlyList<PendingTensor> Tensors { get; }

    /// <summary>The container, as <c>to</c> names it, that holds the weights without them.</summary>
    public string WeightsOnlyTarget { get; }

    /// <summary>Looks whether forward passes can run with all of them.</summary>
    /// <param name="checkpoint">The checkpoint that has them.</param>
    /// <param name="cacheObstacle">Why steps of a cache say nothing of the model's keys and values; null where they do.</param>
    /// <exception cref="UnsupportedModelException">One is of a kind, or at a place, that is not executed.</exception>
    /// <exception cref="Formats.CheckpointFormatException">Stored scales or zero points are missing or unsound.</exception>
    public void CheckExecutable(ICheckpoint checkpoint, string? cacheObstacle = null)
    {
        if (NotExecuted is not null) throw Refused(checkpoint, $"{NotExecuted} cannot be executed");
        if (checkpoint is AdaptedCheckpoint && _inputs.Count > 0)
            throw Refused(checkpoint, "an adapter sees inputs as they are and its base sees them quantized, which cannot be executed");
        if (Config.KvCacheScheme is not null && cacheObstacle is not null) throw Refused(checkpoint, $"a quantized key-value cache cannot be executed: {cacheObstacle}");
        HashSet<string> linears = [.. checkpoint.Layout.Modules.Concat(checkpoint.Layout.KeptModules).Select(module => StoredModule(checkpoint.Layout, module.Name))];
        foreach ((string module, QuantizationArgs args) in _inputs)
        {
            if (!linears.Contains(module)) throw Refused(checkpoint, $"quantized inputs of '{module}', which is no linear of a block, cannot be executed");
            StepsOf(module, args.ToActivationGrid()!);
        }
    }

    /// <summary>Whether there are any of inputs, so that products could be of integer codes.</summary>
    public bool HasInputs => _inputs.Count > 0;

    /// <summary>Whether the input of a linear is rounded, one step a row.</summary>
    /// <param name="layout">Tells where the files have it.</param>
    /// <param name="weight">Name of its weight.</param>
    internal bool HasCodes(ModelLayout layout, string weight) =>
        weight.EndsWith(WeightSuffix, StringComparison.Ordinal) && _inputs.TryGetValue(StoredModule(layout, weight[..^WeightSuffix.Length]), out QuantizationArgs? args)
        && args.ToActivationGrid() is { IsPerPart: false, Floats: null };

    /// <summary>Puts them into a block that has just been loaded.</summary>
    /// <param name="parts">Owns them.</param>
    /// <param name="block">The block.</param>
    /// <param name="layout">Tells where the files have its linears.</param>
    /// <exception cref="Formats.CheckpointFormatException">Stored scales or zero points are missing or unsound.</exception>
    internal void Install(BlockParts parts, IDecoderBlock block, ModelLayout layout)
    {
        // Linears with the same grid share a quantizer, which rounds an input that they share once.
        var shared = new Dictionary<(ActivationGrid Grid, float Step, float ZeroPoint), GridQuantizer>();
        foreach (LinearSlot slot in block.Slots.Concat(block.Kept))
        {
            string module = StoredModule(layout, $"{block.Name}.{slot.Name}");
            if (!_inputs.TryGetValue(module, out QuantizationArgs? args)) continue;
            ActivationGrid grid = args.ToActivationGrid()!;
            StoredActivationSteps? steps = StepsOf(module, grid);
            (ActivationGrid, float, float) key = (grid, steps?.Steps[0] ?? 0, steps is { ZeroPoints: [float zero] } ? zero : 0);
            if (!shared.TryGetValue(key, out GridQuantizer? quantizer)) shared[key] = quantizer = parts.Own(Make(parts.Device, grid, steps));
            slot.InputQuantizer = quantizer;
        }
        if (Config.KvCacheScheme?.ToActivationGrid() is not { } cache) return;
        foreach (CacheSite site in block.Caches) site.Quantizer = parts.Own(Make(parts.Device, cache, CacheSteps(block.Name, site, cache)));
    }

    private static GridQuantizer Make(Device device, ActivationGrid grid, StoredActivationSteps? steps) =>
        steps is null ? GridQuantizer.Dynamic(grid) : GridQuantizer.Static(device, grid, steps.Steps, steps.ZeroPoints);

    private StoredActivationSteps? StepsOf(string module, ActivationGrid grid) => grid.IsDynamic ? null : StoredActivationSteps.Read(_folder, $"{module}.input", grid, 1);

    // Scales of a cache stand beside the projections, whatever a family calls the module that has these.
    private StoredActivationSteps CacheSteps(string block, CacheSite site, ActivationGrid grid)
    {
        string part = site.Kind == CacheKind.Keys ? "k" : "v", end = $".{part}_scale";
        string[] found = [.. _folder.Names.Where(name => name.StartsWith(block + ".", StringComparison.Ordinal) && name.EndsWith(end, StringComparison.Ordinal))];
        string prefix = found.Length == 1 ? found[0][..^"_scale".Length] : $"{block}.self_attn.{part}";
        return StoredActivationSteps.Read(_folder, prefix, grid, site.Heads);
    }

    private static string StoredModule(ModelLayout layout, string module)
    {
        string stored = layout.Find(module + WeightSuffix)?.View?.Stored ?? module + WeightSuffix;
        return stored.EndsWith(WeightSuffix, StringComparison.Ordinal) ? stored[..^WeightSuffix.Length] : stored;
    }

    private UnsupportedModelException Refused(ICheckpoint checkpoint, string why) => new(
        $"{checkpoint.Location}: {why}; 'lrq convert {checkpoint.Location} `to` {WeightsOnlyTarget} `weights_only` `out` DIR' writes the model without.");
}
