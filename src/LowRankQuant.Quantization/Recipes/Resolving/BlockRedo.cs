using System.Globalization;
using System.Text.RegularExpressions;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>
/// The request of a finished run whose blocks are done again: what is asked for now counts for those blocks alone, so that a run from its beginning gives
/// what doing them again gives.
/// <code>
/// method, its options, seed              a rule of blocks
/// bits, group_size, symmetric, zeros,
/// grid                                   rules of layers for all linears of those blocks that are quantized
/// layers, per_token                      the linears of those blocks that the patterns match
/// </code>
/// </summary>
public static class BlockRedo
{
    /// <summary>Joins both requests.</summary>
    /// <param name="finished">That of the finished run, from its recipe.</param>
    /// <param name="asked">What is asked for now.</param>
    /// <param name="blocks">The blocks, rising.</param>
    /// <param name="layout">The model's linears.</param>
    /// <param name="problems">Receives what cannot be done.</param>
    public static RecipeRequest Join(RecipeRequest finished, RecipeRequest asked, IReadOnlyList<int> blocks, ModelLayout layout, List<string> problems)
    {
        foreach (string key in Whole(asked))
            problems.Add($"`{key}` is a matter of all blocks; `redo_blocks` takes a method with its options, seed, bits, group_size, symmetric, zeros, grid, layers and per_token.");
        if (blocks.Count == 0 || blocks[^1] >= layout.Blocks.Count)
        {
            problems.Add($"`redo_blocks` {BlockList.Text(blocks)}: the model has blocks 0 to {layout.Blocks.Count - 1}.");
            return finished;
        }
        ModelLayout chosen = layout.Select(new LayerSelection(finished.LayerRules, layout, []).Chosen);
        bool own = asked.Method is not null || asked.Options.Count > 0 || asked.Seed is not null;
        return finished with
        {
            BlockRules = own ? [.. finished.BlockRules, new BlockRule(blocks, asked.Method, asked.Options, asked.Seed)] : finished.BlockRules,
            LayerRules = [.. finished.LayerRules, .. Grids(finished, asked, blocks, chosen, problems), .. asked.LayerRules.SelectMany(rule => Paths(rule, blocks, layout, problems).Select(path => rule with { Match = path }))],
            PerToken = [.. finished.PerToken, .. asked.PerToken.SelectMany(pattern => PerToken(pattern, blocks, chosen, problems))],
        };
    }

    private static IEnumerable<string> Whole(RecipeRequest asked)
    {
        (string Key, bool Given)[] keys =
        [
            ("preset", asked.Preset is not null), ("scheme", asked.Scheme is not null), ("activations", asked.Activations is not null), ("activation_range", asked.ActivationRange is not null),
            ("cache", asked.Cache is not null), ("cache_range", asked.CacheRange is not null), ("keys", asked.KeysBeforeRotation is not null), ("transform", asked.Transforms is not null),
            ("embedding", asked.Embedding is not null), ("head", asked.Head is not null), ("target", asked.Target is not null), ("on_misfit", asked.OnMisfit is not null),
            ("tensor_parallel", asked.TensorParallel is not null), ("scale_dtype", asked.ScaleType is not null), ("samples", asked.Samples is not null), ("held_out", asked.HeldOut is not null),
            ("sequence_length", asked.SequenceLength is not null), ("tune_steps", asked.TuneSteps is not null), ("tune_rate", asked.TuneRate is not null), ("tune_code_rate", asked.TuneCodeRate is not null), ("tune_batch", asked.TuneBatch is not null),
            ("tune_samples", asked.TuneSamples is not null), ("precision", asked.Precision is not null),
        ];
        return keys.Where(key => key.Given).Select(key => key.Key);
    }

    private static IEnumerable<LayerRule> Grids(RecipeRequest finished, RecipeRequest asked, IReadOnlyList<int> blocks, ModelLayout layout, List<string> problems)
    {
        if (asked is { Grid: null, Bits: null, Granularity: null, GroupSize: null, Symmetric: null, Zeros: null }) return [];
        if (asked.Bits is < UniformGrid.MinBits or > UniformGrid.MaxBits)
        {
            problems.Add($"`bits` {asked.Bits}: must be {UniformGrid.MinBits} to {UniformGrid.MaxBits} (bits per code).");
            return [];
        }
        if (asked.Granularity == Granularity.Tensor) problems.Add("`group_size` tensor is a matter of all blocks; give those that are done again a number or channel.");
        if (asked is { Symmetric: true, Zeros: not null }) problems.Add("`zeros` contradicts `symmetric` true: a symmetric grid stores none; leave one of them out.");
        if (asked.Grid is not null && asked is not { Bits: null, Granularity: null, GroupSize: null, Symmetric: null, Zeros: null })
            problems.Add("`grid` decides bits, groups and symmetry of the blocks that are done again; leave the others out.");
        string? group = asked.Granularity switch
        {
            Granularity.Group => asked.GroupSize?.ToString(CultureInfo.InvariantCulture),
            Granularity.Channel => "channel",
            _ => null,
        };
        string? symmetry = asked.Symmetric is { } symmetric ? symmetric ? "symmetric" : "asymmetric" : null;
        string? kind = asked.Zeros switch { ZeroKind.Float => AffineGrid.Kind, ZeroKind.Integer => "asymmetric", _ => symmetry };
        string width = (asked.Bits ?? finished.Bits ?? RecipeResolver.UsualBits).ToString(CultureInfo.InvariantCulture);
        string grid = asked.Grid ?? string.Join(':', new[] { width, group, kind }.OfType<string>());
        return blocks.SelectMany(block => layout.Linears[block].Select(linear => new LayerRule($"{layout.Blocks[block]}.{linear.Name}", grid)));
    }

    private static string[] PerToken(string pattern, IReadOnlyList<int> blocks, ModelLayout layout, List<string> problems)
    {
        if (!QuantizerFitting.IsAuto(pattern)) return Paths(pattern, "per_token", _ => true, blocks, layout, layout.Linears, problems);
        problems.Add($"`per_token` {pattern} looks at all blocks; name the linears of those that are done again.");
        return [];
    }

    private static string[] Paths(LayerRule rule, IReadOnlyList<int> blocks, ModelLayout layout, List<string> problems) =>
        Paths(rule.Match, "layers", linear => LayerSelection.MayMatch(rule, linear), blocks, layout, layout.AllLinears, problems);

    // The linears of the blocks that a pattern matches, each by its path.
    private static string[] Paths(
        string pattern, string key, Func<LinearShape, bool> mayMatch, IReadOnlyList<int> blocks, ModelLayout layout, IReadOnlyList<IReadOnlyList<LinearShape>> all, List<string> problems)
    {
        if (LinearPattern.Compile(pattern, out string? problem) is not { } matches)
        {
            problems.Add($"`{key}` {pattern} {problem}");
            return [];
        }
        var linears = blocks.SelectMany(block => all[block].Where(mayMatch).Select(linear => (Path: $"{layout.Blocks[block]}.{linear.Name}", linear.Name)));
        try
        {
            string[] paths = [.. linears.Where(linear => matches(linear.Path, linear.Name)).Select(linear => linear.Path)];
            if (paths.Length == 0) problems.Add($"`{key}` {pattern}: no linear of the blocks that are done again matches.");
            return paths;
        }
        catch (RegexMatchTimeoutException)
        {
            problems.Add($"`{key}` {pattern}: the expression takes too long on names of linears; make it simpler.");
            return [];
        }
    }
}
