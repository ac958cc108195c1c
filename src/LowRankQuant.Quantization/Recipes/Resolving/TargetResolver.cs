using LowRankQuant.Formats.Engines;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>The part of <see cref="RecipeResolver"/> that holds the grids of all layers against the rules of a target.</summary>
/// <param name="request">What was asked for.</param>
/// <param name="budget">The budget that decides grids; null for none.</param>
/// <param name="layout">The model with the linears that are quantized.</param>
/// <param name="problems">Receives what cannot be run.</param>
/// <param name="notes">Receives what was changed, and what things cost.</param>
internal sealed class TargetResolver(RecipeRequest request, BitBudget? budget, ModelLayout layout, List<string> problems, List<string> notes)
{
    private readonly IReadOnlyList<LinearShape> _linears = layout.Kinds;

    private readonly record struct Verdict(LinearShape Layer, WeightGrid Grid, TargetFit Fit);

    private MisfitRule OnMisfit => request.OnMisfit ?? MisfitRule.Refuse;

    private int Shards => request.TensorParallel ?? 1;

    /// <summary>Says what is wrong with the options themselves.</summary>
    public TargetRecipe? Options()
    {
        if (request.Target is not { } target)
        {
            if (request.OnMisfit is not null) problems.Add("`on_misfit` needs `target`: it says what happens to layers that the target cannot hold.");
            if (request.TensorParallel is not null) problems.Add("`tensor_parallel` needs `target` vllm: it says into how many shards vLLM will cut the model.");
            return null;
        }
        if (request.TensorParallel is not null && target != Target.Vllm) problems.Add($"`tensor_parallel` does not apply to `target` {TargetNames.Of(target)}: only vllm cuts matrices.");
        if (Shards < 1) problems.Add($"`tensor_parallel` {Shards}: must be at least 1 (shards).");
        if (budget is { ChoosesGrids: true } && target is not (Target.CompressedTensors or Target.LlamaCpp))
            problems.Add($"`target_bits` gives every layer a width of its own, which `target` {TargetNames.Of(target)} may not hold; give `widths` fixed.");
        return new TargetRecipe(target, OnMisfit, Math.Max(1, Shards));
    }

    /// <summary>The stored type of scales: the target's, where it asks for one.</summary>
    /// <param name="native">The source's.</param>
    public ScaleType ScaleTypeFor(ScaleType native)
    {
        if (request.Target is not { } target) return request.ScaleType ?? native;
        ScaleType fallback = TargetRules.Takes(target, native) ? native : ScaleType.Float16;
        if (request.ScaleType is { } asked && !TargetRules.Takes(target, asked))
        {
            string takes = TargetRules.RequiredScaleType(target) is null ? "fp16 or bf16" : "fp16";
            problems.Add($"`scale_dtype` {Choices.Of(GridNames.ScaleTypes, asked)}: {TargetNames.Of(target)} stores scales as {takes}; leave it out.");
        }
        return request.ScaleType ?? fallback;
    }

    /// <summary>Holds a grid against the target, layer by layer.</summary>
    /// <param name="grid">The grid of all layers but those with one of their own.</param>
    /// <param name="own">Layers with a grid of their own, by name within the block or module path.</param>
    /// <param name="scaleType">Stored type of scales.</param>
    /// <returns>Significant bits of scales, null for all; and the layers that differ from the rest, null for none.</returns>
    public (int? ScaleDigits, IReadOnlyDictionary<string, LayerGrid>? Layers) Resolve(
        WeightGrid grid, IReadOnlyList<(LinearShape Linear, WeightGrid Grid)> own, ScaleType scaleType)
    {
        // A budget over the engine's blocks gives every layer one of them.
        if (request.Target is not { } target || Shards < 1 || (target == Target.LlamaCpp && budget is { ChoosesGrids: true }))
            return (null, Differing(own.Select(layer => KeyValuePair.Create(layer.Linear.Name, LayerGrid.Of(layer.Grid, null))), LayerGrid.Of(grid, null)));
        var named = own.ToDictionary(layer => layer.Linear.Name, layer => layer.Grid, StringComparer.Ordinal);
        List<Verdict> verdicts = [.. _linears.Concat(own.Select(layer => layer.Linear)).Distinct().Select(linear => Judge(target, linear, named.GetValueOrDefault(linear.Name, grid), scaleType))];
        var chosen = new Dictionary<string, LayerGrid>(StringComparer.Ordinal);
        foreach (var same in verdicts.GroupBy(verdict => verdict.Grid)) Report(target, same.Key, same);
        foreach (Verdict verdict in verdicts)
            chosen[verdict.Layer.Name] = LayerGrid.Of(verdict.Fit.Nearest ?? verdict.Grid, verdict.Fit.ScaleDigits);
        if (target == Target.Vllm)
        {
            Tie(verdicts, chosen, scaleType);
            RefuseKeptParts();
        }
        foreach (string note in verdicts.Where(verdict => verdict.Fit.Misfit is null && verdict.Fit.Note is not null).Select(verdict => verdict.Fit.Note!).Distinct())
            notes.Add($"`target` {TargetNames.Of(target)}: {note}.");
        int? digits = verdicts.FirstOrDefault(verdict => verdict.Fit.Misfit is null && verdict.Grid == grid).Fit?.ScaleDigits;
        if (digits is not null) notes.Add($"Scales keep {digits} significant bits, so that scale times zero point is exact in {TargetNames.Of(target)}.");
        return (digits, Differing(chosen, LayerGrid.Of(grid, digits)));
    }

    // A layer under its module path differs from what it would have under its name within the block.
    private static Dictionary<string, LayerGrid>? Differing(IEnumerable<KeyValuePair<string, LayerGrid>> layers, LayerGrid usual)
    {
        Dictionary<string, LayerGrid> all = layers.ToDictionary(StringComparer.Ordinal);
        var others = all.Where(layer => layer.Value != (Within(layer.Key) ?? usual)).ToDictionary(StringComparer.Ordinal);
        return others.Count == 0 ? null : others;

        LayerGrid? Within(string path)
        {
            for (int dot = path.IndexOf('.', StringComparison.Ordinal); dot >= 0; dot = path.IndexOf('.', dot + 1))
            {
                if (all.TryGetValue(path[(dot + 1)..], out LayerGrid? grid)) return grid;
            }
            return null;
        }
    }

    private Verdict Judge(Target target, LinearShape linear, WeightGrid grid, ScaleType scaleType) => new(linear, grid, Fit(target, linear, grid, scaleType));

    private TargetFit Fit(Target target, LinearShape linear, WeightGrid grid, ScaleType scaleType)
    {
        IReadOnlyList<string>? fused = target == Target.Vllm ? EngineTable.VllmFusedWith(linear.Name) : null;
        return TargetRules.Fit(target, new TargetLayer(linear.Name, linear.OutFeatures, linear.InFeatures, grid, scaleType)
        {
            TensorParallel = Shards,
            IsUsuallyFloats = linear.KeptByDefault,
            FusedOutFeatures = fused is null ? linear.OutFeatures : _linears.Where(other => fused.Contains(other.Name)).Sum(other => other.OutFeatures),
        });
    }

    // Layers with the same trouble share a line.
    private void Report(Target target, WeightGrid grid, IEnumerable<Verdict> verdicts)
    {
        foreach (var same in verdicts.Where(verdict => verdict.Fit.Misfit is not null).GroupBy(verdict => (verdict.Fit.Misfit, verdict.Fit.Remedy, verdict.Fit.Nearest is null)))
        {
            string layers = string.Join(", ", same.Select(verdict => verdict.Layer.Name));
            string what = $"`target` {TargetNames.Of(target)} cannot hold {grid} in {layers}: {same.Key.Misfit}; {same.Key.Remedy}";
            if (OnMisfit == MisfitRule.Nearest && !same.Key.Item3) notes.Add($"{what}, and that is what they get (`on_misfit` nearest).");
            else problems.Add(same.Key.Item3 ? $"{what}; choose another grid or target." : $"{what}; give `on_misfit` nearest to use it there, or choose another grid or target.");
        }
    }

    // Nor can it be codes in part.
    private void RefuseKeptParts()
    {
        var told = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < layout.Linears.Count; i++)
        {
            string[] kept = [.. layout.Kept[i].Select(linear => linear.Name)];
            foreach (LinearShape linear in layout.Linears[i])
            {
                if (EngineTable.VllmFusedWith(linear.Name) is not { } set || set.Where(kept.Contains).ToArray() is not { Length: > 0 } floats || !told.Add(set[0])) continue;
                problems.Add($"`target` vllm fuses {string.Join(", ", set)}, and {string.Join(", ", floats)} would stay in its own type beside {linear.Name} in codes; keep all of them, or none.");
            }
        }
    }

    // A fused matrix has one scheme: if a part of it changes, all of it does.
    private void Tie(List<Verdict> verdicts, Dictionary<string, LayerGrid> chosen, ScaleType scaleType)
    {
        foreach (IReadOnlyList<string> set in chosen.Keys.Select(EngineTable.VllmFusedWith).OfType<IReadOnlyList<string>>().DistinctBy(set => set[0]).ToArray())
        {
            LayerGrid[] grids = [.. set.Where(chosen.ContainsKey).Select(name => chosen[name]).Distinct()];
            if (grids.Length < 2) continue;
            LayerGrid? common = grids.FirstOrDefault(candidate => verdicts.Where(verdict => set.Contains(verdict.Layer.Name))
                .All(verdict => Fit(Target.Vllm, verdict.Layer, candidate.ToGrid(), scaleType).Misfit is null));
            if (common is null)
            {
                problems.Add($"`target` vllm fuses {string.Join(", ", set)}, and no grid was found that fits them all; choose another grid.");
                continue;
            }
            foreach (string name in set.Where(chosen.ContainsKey)) chosen[name] = common;
            notes.Add($"`target` vllm fuses {string.Join(", ", set)}: all of them get {common.ToGrid()}.");
        }
    }
}
