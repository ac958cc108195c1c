using System.Text.RegularExpressions;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Targets;
using LowRankQuant.Quantization.Transforms;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>The part of <see cref="RecipeResolver"/> that is about activations, keys and values, and what is done to blocks before they are quantized.</summary>
/// <param name="known">The transforms that there are.</param>
/// <param name="request">What was asked for.</param>
/// <param name="scheme">The named scheme; null for none.</param>
/// <param name="layout">The model's linears.</param>
/// <param name="problems">Receives what cannot be run.</param>
internal sealed class ActivationResolver(IReadOnlyList<TransformDeclaration> known, RecipeRequest request, NamedScheme? scheme, ModelLayout layout, List<string> problems)
{
    private static readonly RangeOptions MinMax = new(RangeRule.MinMax);

    /// <summary>Whether a request needs calibration text whatever its method: static ranges come from it, and some transforms look at it.</summary>
    public static bool NeedsText(IReadOnlyList<TransformDeclaration> known, RecipeRequest request)
    {
        var resolver = new ActivationResolver(known, request, request.Scheme is { } name ? NamedScheme.Find(name) : null, ModelLayout.OfBlock([], 0), []);
        return resolver.Activations()?.Grid.IsDynamic == false || resolver.Cache()?.Grid.IsDynamic == false || resolver.Transforms().Any(transform => transform.NeedsInputs);
    }

    /// <summary>The quantizers of inputs; null for floats.</summary>
    public ActivationRecipe? Activations()
    {
        ActivationGrid? grid = request.Activations is null ? scheme?.Activations
            : Grid("activations", request.Activations, "8:tensor, 8:token or 4:token, perhaps with :symmetric or :asymmetric, fp8:token or fp8:128", ActivationScope.Tensor, ActivationScope.Token, ActivationScope.TokenGroup);
        RangeOptions range = Range("activation_range", request.ActivationRange, grid is { IsDynamic: false }, "`activations` that are static");
        if (request.PerToken.Count > 0 && grid is not { IsDynamic: false }) problems.Add("`per_token` needs `activations` that are static: it says where they are not.");
        else CheckPatterns();
        return grid is null ? null : new ActivationRecipe(grid, range, request.PerToken);
    }

    /// <summary>The quantizers of keys and values; null for floats.</summary>
    public CacheRecipe? Cache()
    {
        CacheRecipe? usual = scheme?.Activations is { Floats: null } ? NamedScheme.UsualCache : null;
        ActivationGrid? grid = request.Cache is null ? usual?.Grid : Grid(
            "cache", request.Cache, "8:token, 8:token-head, 8:head or 8:tensor, 4 in the place of 8, perhaps with :symmetric or :asymmetric",
            ActivationScope.Tensor, ActivationScope.Head, ActivationScope.Token, ActivationScope.TokenHead);
        RangeOptions range = Range("cache_range", request.CacheRange, grid is { IsDynamic: false }, "a `cache` that is static");
        if (request.KeysBeforeRotation is not null && grid is null) problems.Add("`keys` needs `cache`: it says where keys are quantized.");
        if (grid is { IsDynamic: false } && request.KeysBeforeRotation == true)
            problems.Add("`keys` before does not go with a static `cache`: what is static is stored, and engines store keys behind their rotation.");
        // What has to be stored is quantized as engines store it.
        return grid is null ? null : new CacheRecipe(grid, request.KeysBeforeRotation ?? grid.IsDynamic, range);
    }

    /// <summary>What is done to blocks before a method sees them, in order.</summary>
    public IReadOnlyList<TransformSettings> Transforms()
    {
        IReadOnlyList<TransformStage> asked = request.Transforms ?? (scheme?.Transform is { } usual ? [new TransformStage(usual, new Dictionary<string, string>())] : []);
        var settings = new List<TransformSettings>();
        foreach (TransformStage stage in asked)
        {
            TransformDeclaration? transform = Find(stage.Name);
            if (transform is null)
            {
                problems.Add($"`transform` {stage.Name}: unknown; the transforms are {string.Join(", ", known.Select(transform => transform.Name))}, or {TransformStage.None}.");
                continue;
            }
            foreach (string key in stage.Options.Keys.Where(key => transform.Options.All(option => option.Key != key)))
                problems.Add($"`transform` {stage.Name}: '{key}' is none of its options; those are {string.Join(", ", transform.Options.Select(option => option.Key))}.");
            if (settings.Exists(other => other.Name == transform.Name)) problems.Add($"`transform` {stage.Name} is given twice; once does all of it.");
            settings.Add(transform.Resolve(new OptionValues(stage.Options, transform.Options, problems), problems));
        }
        // A rotation mixes channels that smoothing has levelled one by one.
        if (settings.FindIndex(transform => transform.ChangesStream) > 0) problems.Add("`transform` rotation stands behind another; the stream is rotated first.");
        return settings;
    }

    /// <summary>Says what does not go together.</summary>
    public void Check(ActivationRecipe? activations, CacheRecipe? cache, IReadOnlyList<TransformSettings> transforms, MethodSettings method, IReadOnlyList<WeightGrid> grids)
    {
        if (grids.OfType<AffineGrid>().FirstOrDefault() is { } minima)
        {
            if (activations is not null) problems.Add($"`activations` do not go with float minima ({minima}): no container holds both; give `zeros` integer, or leave `activations` out.");
            if (cache is not null) problems.Add($"`cache` does not go with float minima ({minima}): no container holds both; give `zeros` integer, or leave `cache` out.");
        }
        if (activations is not null)
        {
            if (grids.Any(grid => grid is TwoLevelGrid)) problems.Add("`activations` do not go with two-level grids: no container holds both; choose uniform grids.");
            if (activations.Grid.Floats is null ? grids.OfType<FloatGrid>().FirstOrDefault() is { } floats : grids.FirstOrDefault(grid => grid is not FloatGrid { Bits: 8 }) is not null)
                problems.Add(activations.Grid.Floats is null
                    ? $"`activations` of integers do not go with weights that are floats ({grids.OfType<FloatGrid>().First()}): products are of one kind; give fp8:token, or off."
                    : $"`activations` of 8-bit floats need weights that are 8-bit floats too, and {grids.First(grid => grid is not FloatGrid { Bits: 8 })} is not; give `grid` fp8 or fp8-block.");
            if (activations.Grid.GroupSize > 0 && layout.Kinds.FirstOrDefault(linear => linear.InFeatures % activations.Grid.GroupSize != 0) is { Name.Length: > 0 } odd)
                problems.Add($"`activations` in groups of {activations.Grid.GroupSize} do not divide the {odd.InFeatures} inputs of {odd.Name}; give fp8:token.");
            if (request.Target is not (null or Target.Vllm or Target.CompressedTensors))
                problems.Add($"`activations` do not go with `target` {TargetNames.Of(request.Target.Value)}, which holds weights alone; take vllm or compressed-tensors.");
        }
        CheckMethod(activations, transforms, method, problems);
        if (transforms.Any(transform => transform.ChangesStream) && (request.Embedding is not (null or "off") || request.Head is not (null or "off")))
            problems.Add("`embedding` and `head` do not go with a rotation of the stream, which makes other matrices of them; leave them out.");
        if (!request.HasCalibration && (activations?.Grid.IsDynamic == false || cache?.Grid.IsDynamic == false))
            problems.Add("static ranges of activations come from text: give `calibration` FILE, or `calibration` self.");
        if (!request.HasCalibration && transforms.FirstOrDefault(transform => transform.NeedsInputs) is { } looks)
            problems.Add($"`transform` {looks.Name} looks at text: give `calibration` FILE, or `calibration` self.");
    }

    /// <summary>Says what does not go together with a method.</summary>
    public static void CheckMethod(ActivationRecipe? activations, IReadOnlyList<TransformSettings> transforms, MethodSettings method, List<string> problems)
    {
        if (activations is not null && method.MayHaveBranches)
            problems.Add($"`activations` do not go with the low-rank branches of {method.Method}: engines give branches inputs that are not quantized; give `rank` 0, or another method.");
        if (method.PlansModel && transforms.Any(transform => transform.ChangesStream || !method.PlanOutlivesFolds))
            problems.Add($"`transform` does not go with a {method.Method} that looks at the whole model before its first block; leave one of them out (`weigh_outputs` false, no `target_bits`, a number as `damping`, `loss` relative).");
    }

    private TransformDeclaration? Find(string name) => known.FirstOrDefault(transform => transform.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    private ActivationGrid? Grid(string key, string text, string form, params ReadOnlySpan<ActivationScope> allowed)
    {
        if (text.Equals(ActivationNames.Off, StringComparison.OrdinalIgnoreCase)) return null;
        ActivationGrid? grid = ActivationNames.Parse(text, allowed);
        if (grid is null) problems.Add($"`{key}` {text}: must be {form}, or {ActivationNames.Off}.");
        return grid;
    }

    private RangeOptions Range(string key, string? text, bool applies, string what)
    {
        if (text is null) return MinMax;
        if (!applies) problems.Add($"`{key}` needs {what}: it says how their ranges are found.");
        RangeOptions? range = RangeNames.Parse(text);
        if (range is null) problems.Add($"`{key}` {text}: must be {RangeNames.Form}.");
        return range ?? MinMax;
    }

    private void CheckPatterns()
    {
        foreach (string pattern in request.PerToken)
        {
            if (QuantizerFitting.IsAuto(pattern))
            {
                if (QuantizerFitting.AutoLimit(pattern) is null) problems.Add($"`per_token` {pattern}: give auto, or auto:LIMIT with a relative error such as 0.3.");
            }
            else if (LinearPattern.Compile(pattern, out string? problem) is not { } matches) problems.Add($"`per_token` {pattern} {problem}");
            else if (layout.Blocks.Count > 0) CheckFound(pattern, matches);
        }
    }

    // All linears are tried, so that none of them takes too long in the run.
    private void CheckFound(string pattern, Func<string, string, bool> matches)
    {
        try
        {
            LinearShape[] found = [.. layout.Linears.SelectMany((block, i) => block.Where(linear => matches($"{layout.Blocks[i]}.{linear.Name}", linear.Name)))];
            if (found.Length == 0) problems.Add($"`per_token` {pattern}: no linear of the model matches it.");
        }
        catch (RegexMatchTimeoutException)
        {
            problems.Add($"`per_token` {pattern}: the expression takes too long on names of linears; make it simpler.");
        }
    }
}
