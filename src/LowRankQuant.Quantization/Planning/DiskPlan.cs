using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Quantization.Planning;

/// <summary>What a run writes, estimated before it starts.</summary>
/// <param name="Bytes">Block files, the result, and activations that do not fit the memory.</param>
public sealed record DiskPlan(long Bytes)
{
    // Tokenizer, reports, logs.
    private const long SideBytes = 64L << 20;

    /// <summary>Plans a run.</summary>
    /// <param name="model">The source.</param>
    /// <param name="recipe">What is done.</param>
    /// <param name="memory">What stays in memory.</param>
    /// <param name="dense">Whether the result holds plain floats.</param>
    public static DiskPlan For(CausalModel model, Recipe recipe, MemoryPlan memory, bool dense)
    {
        long parameters = model.Checkpoint.TensorNames.Sum(name => model.Checkpoint.ShapeOf(name).Aggregate(1L, (product, size) => product * size));
        long linears = model.LinearWeights, scaleBytes = recipe.ScaleType == ScaleType.Float32 ? 4 : 2, blockBits = 0;
        Scheme scheme = recipe.Scheme;
        foreach ((string name, int outFeatures, int inFeatures) in model.Layout.Modules)
        {
            long grid = scheme.For(name).Grid.StoredBits(outFeatures, inFeatures, recipe.ScaleType);
            // A plan may widen codes, and block files hold branches in at least twice the bits that are counted.
            double more = recipe.Method.Budget is { } budget ? Math.Max(0, budget.TargetBits - recipe.Bits) : 0, weights = (double)outFeatures * inFeatures;
            double branch = recipe.MayHaveBranches ? 2 * Math.Max(weights, recipe.FactorBits * (double)recipe.Methods.Max(method => method.BranchElements(outFeatures, inFeatures, recipe.Bits))) : 0;
            blockBits += grid + (long)((weights * more) + branch);
        }
        if (recipe.Vocabulary is { } vocabulary && model.Layout.Vocabulary is { } shape)
        {
            blockBits += vocabulary.StoredBits(shape, recipe.ScaleType);
            linears += vocabulary.Weights(shape);
        }
        long blocks = blockBits / 8;
        long result = (dense ? linears * scaleBytes : blocks) + ((parameters - linears) * scaleBytes) + model.Checkpoint.Carried.Sum(tensor => tensor.ByteLength);
        // Tuned blocks lie beside the others for a while, and the state of tuning beside them: four copies of its parameters, twice while one replaces another.
        long tuned = recipe.Tuning is { } tuning
            ? blocks + (2L * 4 * sizeof(float) * TuningMemory.For(model.Config, model.Layout, recipe, tuning).Parameters)
            : 0;
        return new DiskPlan(blocks + tuned + result + Math.Max(0, memory.StreamBytes - memory.ActivationBytes) + SideBytes);
    }

    /// <summary>Checks that the disk of a folder has room; what the folder holds already is either part of the run or makes room for it.</summary>
    /// <exception cref="OutOfBudgetException">It has not.</exception>
    public void Check(string folder)
    {
        long there = Directory.Exists(Path.Combine(folder, RunFolder.WorkName)) ? new DirectoryInfo(folder).EnumerateFiles("*", SearchOption.AllDirectories).Sum(file => file.Length) : 0;
        if (DiskSpace.Shortage(folder, Math.Max(0, Bytes - there)) is { } problem) throw new OutOfBudgetException(problem);
    }
}
