using System.Globalization;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Cli.Output;

/// <summary>What a run is going to do, in the terms of the field: what weights become, by which method, learned from what, computed where.</summary>
internal static class RunHeader
{
    /// <summary>One line each for grid and method, for what is learned where anything is, and for the machine.</summary>
    /// <param name="recipe">The resolved recipe.</param>
    /// <param name="device">Name of the device that computes.</param>
    public static IEnumerable<string> Lines(Recipe recipe, string device)
    {
        yield return $"{Grids(recipe.Scheme)}; {Method(recipe)}";
        foreach (BlockRecipe own in recipe.Blocks) yield return own.Describe();
        if (recipe.DescribeQuantizers() is { Length: > 0 } quantizers) yield return quantizers;
        if (recipe.Vocabulary is { } vocabulary) yield return Vocabulary(recipe, vocabulary);
        if (Learning(recipe) is { } learning) yield return learning;
        if (recipe.Precision == Precision.BFloat16) yield return "products of linears rounded to bf16 while blocks are run and learned; sums, and what is stored and measured, in fp32";
        yield return Machine(device);
    }

    /// <summary>The grids of a scheme.</summary>
    public static string Grids(Scheme scheme)
    {
        string layers = scheme.Layers is null ? "" : string.Concat(
            scheme.Layers.GroupBy(layer => layer.Value.Grid).Select(same => $"; {string.Join(", ", same.Select(layer => layer.Key))}: {Grid(same.Key, scheme.ScaleType)}"));
        string digits = scheme.ScaleDigits is { } count ? $", scales rounded to {count} significant bits" : "";
        return Grid(scheme.Grid, scheme.ScaleType) + digits + layers;
    }

    /// <summary>Where a run computes.</summary>
    /// <param name="device">A name such as <c>cpu simd AVX-512, managed 512-bit products, 2 threads</c>.</param>
    public static string Machine(string device)
    {
        string[] parts = device.Split(", ");
        string kernels = parts[0].Replace("cpu ", "", StringComparison.Ordinal).Replace("simd ", "", StringComparison.Ordinal);
        string[] products = [.. parts[1..^1].Where(part => !part.StartsWith("managed", StringComparison.Ordinal)).Select(part => $", matrix products by {part.Replace(" products", "", StringComparison.Ordinal)}")];
        return $"computed on the CPU: {parts[^1]}, {kernels}{string.Concat(products)}";
    }

    private static string Grid(WeightGrid grid, ScaleType scales)
    {
        string start = $"{grid.Bits}-bit weights, {(grid.Symmetric ? "symmetric" : "asymmetric")}, ";
        if (grid is TwoLevelGrid native) return $"{start}llama.cpp's {native.Name} blocks (groups of {native.GroupSize})";
        if (grid is FloatGrid floats) return $"{grid.Bits}-bit float weights ({floats.Codes}), {FloatScales(floats, Choices.Of(GridNames.ScaleTypes, scales))}";
        if (grid is AffineGrid affine) return $"{start}one {Choices.Of(GridNames.ScaleTypes, scales)} scale and float minimum per group of {affine.GroupSize}";
        var uniform = (UniformGrid)grid;
        string share = uniform.Granularity switch { Granularity.Tensor => "matrix", Granularity.Channel => "output channel", _ => $"group of {uniform.GroupSize}" };
        string type = Choices.Of(GridNames.ScaleTypes, scales);
        return $"{start}{(grid.Symmetric ? $"one {type} scale" : $"one {type} scale and zero point")} per {share}";
    }


    private static string FloatScales(FloatGrid grid, string type) => grid.Scaling switch
    {
        FloatScaling.Channel => $"one {type} scale per output channel",
        FloatScaling.Block => $"one {type} scale per {FloatGrid.BlockSize} x {FloatGrid.BlockSize}",
        FloatScaling.PowerOfTwo => $"one power of two per group of {grid.GroupSize}",
        _ => $"one 8-bit float per group of {grid.GroupSize}, and a scale of the matrix",
    };

    private static string Method(Recipe recipe) => $"{recipe.Method.Method}: {recipe.Method.Describe()}";

    private static string Vocabulary(Recipe recipe, VocabularyRecipe vocabulary)
    {
        IEnumerable<string> parts = vocabulary.Parts.Select(part =>
        {
            string how = !recipe.Method.LooksAtInputs || !vocabulary.IsHead(part) ? "rounded to nearest" : "fitted to the inputs of the head";
            return $"{vocabulary.NameOf(part)}: {Grid(vocabulary.GridOf(part).ToGrid(), recipe.ScaleType)}, {how}";
        });
        return string.Join("; ", parts);
    }

    private static string? Learning(Recipe recipe)
    {
        string tuning = recipe.Tuning is { } tuned ? Tuning(tuned) : "";
        if (!recipe.LooksAtText) return tuning.Length == 0 ? null : tuning;
        string windows = $"calibration: {recipe.SequenceLength}-token windows, {recipe.Samples} to learn from and {recipe.HeldOut} held out (preset {recipe.Preset})";
        string training = recipe.Method.DescribeLearning();
        if (training.Length > 0) training = "; " + training;
        return windows + training + (tuning.Length == 0 ? "" : $"; {tuning}");
    }

    private static string Tuning(TuningRecipe tuned) => string.Create(CultureInfo.InvariantCulture,
        $"then {(tuned.CodeRate is > 0 ? "codes, " : "")}scales and branches of the whole model tuned together: {tuned.Steps} steps of {tuned.Batch} windows, learning rate {tuned.LearningRate}{(tuned.CodeRate is > 0 and var rate ? $", of codes {rate} steps of the grid" : "")}");
}
