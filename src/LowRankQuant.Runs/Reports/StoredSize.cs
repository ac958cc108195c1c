using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Runs.Reports;

/// <summary>Where the bytes of a model's files go. All but the counted ones add up to the files.</summary>
/// <param name="LinearBytes">Linears of the blocks without their branches: codes, scales, zero points; floats where they are not quantized.</param>
/// <param name="BranchBytes">Factors of low-rank branches.</param>
/// <param name="CountedBranchBytes">The same factors as lrq stores and counts them; less where a PEFT or GGUF adapter holds 8-bit factors as floats.</param>
/// <param name="EmbeddingBytes">Embedding and output head.</param>
/// <param name="OtherBytes">Norms, biases, whatever else is a tensor of the model, and what is carried over.</param>
/// <param name="OverheadBytes">Headers, and tensors that only repeat shapes or belong to caches.</param>
/// <param name="FileBytes">All of the model's files.</param>
public sealed record StoredParts(
    long LinearBytes, long BranchBytes, long CountedBranchBytes, long EmbeddingBytes, long OtherBytes, long OverheadBytes, long FileBytes);

/// <summary>How many bits a model takes per weight.</summary>
public static class StoredSize
{
    private const int PlainFloatBits = 16;

    /// <summary>
    /// Bits per weight that the quantized linears take in the file: codes, scales and zero points, and the low-rank branch. Null when there are none.
    /// </summary>
    public static double? LinearBits(CausalModel model)
    {
        double bits = 0, weights = 0;
        foreach ((string tensor, long count) in Linears(model))
        {
            long stored = model.Checkpoint.StoredBitsOf(tensor);
            // Codes are looked for only where the bits leave it open: a branch may be larger than its base.
            if (stored >= PlainFloatBits * count && model.Checkpoint.ReadQuantized(tensor) is null) continue;
            bits += stored;
            weights += count;
        }
        return weights == 0 ? null : bits / weights;
    }

    /// <summary>Where the bytes of a model's files go.</summary>
    public static StoredParts Parts(CausalModel model)
    {
        ICheckpoint whole = model.Checkpoint;
        (ICheckpoint stored, ILowRankAdapter? adapter) = whole is AdaptedCheckpoint adapted ? (adapted.Base, adapted.Adapter) : (whole, null);
        HashSet<string> linears = [.. Linears(model).Select(linear => linear.Tensor)];
        Architecture family = model.Architecture;
        long linearBytes = 0, embedding = 0, other = 0;
        foreach (string tensor in stored.TensorNames)
        {
            long bytes = stored.StoredBitsOf(tensor) / 8;
            if (linears.Contains(tensor)) linearBytes += bytes;
            else if (tensor == family.EmbeddingName || tensor == family.HeadName) embedding += bytes;
            else other += bytes;
        }
        other += stored.Carried.Sum(tensor => tensor.ByteLength);
        long branches = 0, counted = 0;
        foreach (string module in adapter?.Modules ?? [])
        {
            branches += adapter!.StoredBitsOf(module) / 8;
            counted += adapter.Read(module)!.StoredBits / 8;
        }
        return new StoredParts(
            linearBytes, branches, counted, embedding, other, whole.StoredBytes - linearBytes - branches - embedding - other, whole.StoredBytes);
    }

    /// <summary>Bits per weight of a number of bytes spread over all linears of the blocks.</summary>
    public static double BitsPerWeight(CausalModel model, long bytes) => 8.0 * bytes / model.LinearWeights;

    /// <inheritdoc cref="LinearBits(CausalModel)"/>
    public static double? LinearBits(IEnumerable<LinearGrid> grids)
    {
        double bits = 0, weights = 0;
        foreach (LinearGrid grid in grids)
        {
            if (grid.StoredBits is not { } stored) continue;
            bits += stored;
            weights += grid.Weights;
        }
        return weights == 0 ? null : bits / weights;
    }

    /// <summary>The grids that the linears of a model lie on, the one with most weights first. Reads every linear once.</summary>
    public static IReadOnlyList<LinearGrid> LinearGrids(CausalModel model)
    {
        var grids = new Dictionary<(WeightGrid?, ScaleType?, string?, double?), LinearGrid>();
        foreach ((string tensor, long count) in Linears(model))
        {
            long bits = model.Checkpoint.StoredBitsOf(tensor);
            QuantizedWeight? weight = model.Checkpoint.ReadQuantized(tensor);
            // Numbers of fewer than 16 bits without a grid are codes with a float minimum or of unequal levels, told apart by the type of their blocks
            // and by their bits.
            bool quantized = weight is not null || bits < PlainFloatBits * count, gridless = weight is null && quantized;
            string? blocks = gridless ? model.Checkpoint.BlockTypeOf(tensor) : null;
            var kind = (weight?.Grid, weight?.ScaleType, blocks, gridless ? (double)bits / count : (double?)null);
            LinearGrid sum = grids.GetValueOrDefault(kind) ?? new LinearGrid(weight?.Grid, weight?.ScaleType, blocks, 0, 0, quantized ? 0 : null);
            grids[kind] = sum with { Linears = sum.Linears + 1, Weights = sum.Weights + count, StoredBits = sum.StoredBits + bits };
        }
        return [.. grids.Values.OrderByDescending(grid => grid.Weights).ThenBy(grid => grid.Description, StringComparer.Ordinal)];
    }

    /// <summary>Embedding and output head with the grid that each lies on, those that are stored: one of a tied model, none where nobody knows them.</summary>
    public static IReadOnlyList<(string Module, LinearGrid Grid)> VocabularyGrids(CausalModel model)
    {
        if (model.Layout.Vocabulary is not { } shape) return [];
        long count = (long)shape.Rows * shape.Width;
        return [.. new[] { shape.Embedding, shape.Head }.Where(module => model.Checkpoint.Contains(module + ".weight")).Select(module =>
        {
            string tensor = module + ".weight";
            long bits = model.Checkpoint.StoredBitsOf(tensor);
            QuantizedWeight? weight = model.Checkpoint.ReadQuantized(tensor);
            bool quantized = weight is not null || bits < PlainFloatBits * count;
            return (module, new LinearGrid(weight?.Grid, weight?.ScaleType, weight is null && quantized ? model.Checkpoint.BlockTypeOf(tensor) : null, 1, count, quantized ? bits : null));
        })];
    }

    // What a family leaves in its own type is among them where somebody quantized it all the same.
    private static IEnumerable<(string Tensor, long Weights)> Linears(CausalModel model) =>
        model.Modules.Select(linear => ($"{linear.Name}.weight", linear.Weights))
            .Concat(model.Layout.KeptModules.Where(linear => linear.KeptByDefault).Select(linear => ($"{linear.Name}.weight", linear.Weights)).Where(linear => IsQuantized(model.Checkpoint, linear)));

    private static bool IsQuantized(ICheckpoint checkpoint, (string Tensor, long Weights) linear) =>
        checkpoint.Contains(linear.Tensor) && checkpoint.StoredBitsOf(linear.Tensor) < PlainFloatBits * linear.Weights && checkpoint.ReadQuantized(linear.Tensor) is not null;

    /// <summary>Bits per weight by the layers' own reports; null when there are none.</summary>
    public static double? LayerBits(IEnumerable<BlockReport> blocks)
    {
        double bits = 0, weights = 0;
        foreach (LayerReport layer in blocks.SelectMany(block => block.Layers))
        {
            double count = (double)layer.OutFeatures * layer.InFeatures;
            bits += layer.BitsPerWeight * count;
            weights += count;
        }
        return weights == 0 ? null : bits / weights;
    }

    /// <summary>Bits per weight that a scheme takes on the linears of a model.</summary>
    public static double GridBits(CausalModel model, Scheme scheme) => scheme.BitsPerWeight(model.Layout.Modules);

    /// <summary>Bits of the model's files per parameter. Tied embeddings are one tensor and count once.</summary>
    public static double ModelBits(CausalModel model) => model.Checkpoint.StoredBytes * 8.0 / Parameters(model);

    /// <summary>Parameters of all tensors, those of parts that are not computed with included.</summary>
    public static long Parameters(CausalModel model) =>
        model.Checkpoint.TensorNames.Sum(name => model.Checkpoint.ShapeOf(name).Aggregate(1L, (product, size) => product * size))
        + model.Checkpoint.Carried.Where(tensor => tensor.Type is SafetensorsType.F64 or SafetensorsType.F32 or SafetensorsType.F16 or SafetensorsType.BF16)
            .Sum(tensor => tensor.Shape.Aggregate(1L, (product, size) => product * size));
}
