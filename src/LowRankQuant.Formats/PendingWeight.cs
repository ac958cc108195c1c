using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats;

/// <summary>A quantized linear for a writer: what its tensors' headers need, and a callback that gives codes, scales and zero points in its turn.</summary>
/// <param name="Module">Module name, the prefix of its tensors.</param>
/// <param name="OutFeatures">Rows.</param>
/// <param name="InFeatures">Columns.</param>
/// <param name="Grid">Integer grid.</param>
/// <param name="ScaleType">Stored type of the scales.</param>
/// <param name="Load">Gives the weight; called once per tensor.</param>
public sealed record PendingWeight(string Module, int OutFeatures, int InFeatures, UniformGrid Grid, ScaleType ScaleType, Func<UniformWeight> Load)
{
    /// <summary>A weight that is in memory.</summary>
    public static PendingWeight Of(string module, UniformWeight weight) =>
        new(module, weight.OutFeatures, weight.InFeatures, weight.Grid, weight.ScaleType, () => weight);

    /// <summary>Loads the weight and checks that it is what was declared.</summary>
    /// <exception cref="InvalidOperationException">It is another one.</exception>
    internal UniformWeight Checked()
    {
        UniformWeight weight = Load();
        return weight.OutFeatures == OutFeatures && weight.InFeatures == InFeatures && weight.Grid == Grid && weight.ScaleType == ScaleType
            ? weight
            : throw new InvalidOperationException(
                $"Module '{Module}' was declared as {Grid}, [{OutFeatures}, {InFeatures}], {ScaleType} scales; it is "
                + $"{weight.Grid}, [{weight.OutFeatures}, {weight.InFeatures}], {weight.ScaleType}.");
    }
}
