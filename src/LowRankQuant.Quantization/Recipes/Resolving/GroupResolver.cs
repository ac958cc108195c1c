using LowRankQuant.Formats.Engines;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>The part of <see cref="RecipeResolver"/> that is about how many weights share a scale.</summary>
/// <param name="request">What was asked for.</param>
/// <param name="method">The method.</param>
/// <param name="problems">Receives what cannot be run.</param>
internal sealed class GroupResolver(RecipeRequest request, QuantizationMethod method, List<string> problems)
{
    /// <summary>Granularity and inputs of a group.</summary>
    /// <param name="layers">The layers without a grid of their own.</param>
    /// <param name="blocks">Whether a budget chooses among llama.cpp's blocks.</param>
    public (Granularity Granularity, int GroupSize) Resolve(IReadOnlyList<LinearShape> layers, bool blocks)
    {
        if (blocks)
        {
            if (request.Bits is not null || request.Granularity is not null || request.GroupSize is not null || request.Symmetric is not null)
                problems.Add("`target_bits` with `target` llama.cpp chooses among the engine's blocks by itself; leave out `bits`, `group_size` and `symmetric`, or give `widths` fixed.");
            if (request.OnMisfit is not null) problems.Add("`on_misfit` does not apply to `target_bits` with `target` llama.cpp: every layer gets a block that fits it; leave it out.");
            if (layers.Any(layer => layer.InFeatures % LlamaCppGrids.SmallestBlock != 0)) problems.Add(Problem(LlamaCppGrids.SmallestBlock, layers));
            return (Granularity.Group, LlamaCppGrids.SmallestBlock);
        }
        Granularity granularity = request.Granularity ?? (request.GroupSize is null ? Granularity.Channel : Granularity.Group);
        if (granularity == Granularity.Tensor && !method.TakesTensorScales)
            problems.Add($"`group_size` tensor: one scale for a whole matrix does not work with method {method.Name}, which takes channel or a number.");
        if (granularity != Granularity.Group) return (granularity, 0);
        int size = request.GroupSize ?? 0;
        if (size < 1)
        {
            problems.Add($"`group_size` {size}: a group holds at least 1 input; give a number, channel or tensor.");
            return (granularity, size);
        }
        if (layers.Any(layer => layer.InFeatures % size != 0)) problems.Add(Problem(size, layers));
        return (granularity, size);
    }

    /// <summary>Whether groups store float minima, which is refused where they cannot.</summary>
    /// <param name="granularity">Weights per scale.</param>
    /// <param name="budget">Whether a budget decides widths.</param>
    public bool HasMinima(Granularity granularity, bool budget)
    {
        if (request.Zeros is not { } zeros) return false;
        if (request.Symmetric == true) problems.Add($"`zeros` {Choices.Of(GridNames.Zeros, zeros)} contradicts `symmetric` true: a symmetric grid stores none; leave one of them out.");
        if (zeros != ZeroKind.Float) return false;
        if (granularity != Granularity.Group)
            problems.Add($"`zeros` float needs groups: whoever holds a float minimum holds one per group (MLX of {EngineRules.Words(EngineTable.Mlx.GroupSizes)} inputs, GGUF of {LlamaCppGrids.SmallestBlock}); give a number as `group_size`.");
        if (budget) problems.Add("`target_bits` chooses widths of grids with integer zero points by itself; leave out `zeros` float.");
        return true;
    }

    private static string Problem(int size, IReadOnlyList<LinearShape> layers)
    {
        var lengths = new SortedDictionary<int, List<string>>();
        foreach (LinearShape linear in layers)
        {
            if (!lengths.TryGetValue(linear.InFeatures, out List<string>? names)) lengths.Add(linear.InFeatures, names = []);
            names.Add(linear.Name);
        }
        IEnumerable<string> rows = lengths.Select(pair =>
            $"rows of {pair.Key} ({string.Join(", ", pair.Value)}) {(pair.Key % size == 0 ? "take it, as well as" : "take")} {List(Divisors(pair.Key).Where(d => d != size))}");
        int common = lengths.Keys.Aggregate((a, b) => (int)System.Numerics.BigInteger.GreatestCommonDivisor(a, b));
        return $"`group_size` {size} does not divide every layer: {string.Join("; ", rows)}. Sizes that divide all: {List(Divisors(common))}.";

        static string List(IEnumerable<int> sizes) => string.Join(", ", sizes);
    }

    private static List<int> Divisors(int length)
    {
        // Groups below 8 cost more for their scales than they save; they are left out unless there is nothing else.
        const int smallest = 8;
        var all = new List<int>();
        for (int i = 1; i <= length; i++)
        {
            if (length % i == 0) all.Add(i);
        }
        List<int> sensible = all.FindAll(size => size >= smallest);
        return sensible.Count > 0 ? sensible : all;
    }
}
