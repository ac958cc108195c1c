using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Formats.SmallFloats;

/// <summary>Where the weight of a module lies that is stored in small floats, and how it becomes numbers.</summary>
public interface IFloatLayout
{
    /// <summary>Rows.</summary>
    int OutFeatures { get; }

    /// <summary>Columns.</summary>
    int InFeatures { get; }

    /// <summary>Writes the values of the weight: stored float times its scale, rounded once to 32 bits.</summary>
    /// <param name="source">Checkpoint.</param>
    /// <param name="destination">[out, in].</param>
    /// <exception cref="CheckpointFormatException">A scale is not finite (<c>scale</c>).</exception>
    void Read(ISafetensorsSource source, Span<float> destination);

    /// <summary>The format in a few words, such as <c>FP8 E4M3, a scale a row</c>.</summary>
    string Describe(ISafetensorsSource source);

    /// <summary>About what rounding to these floats lost, by the widths of their cells (<see cref="LevelCells"/>), relative to the weight.</summary>
    /// <param name="source">Checkpoint.</param>
    double RelativeLoss(ISafetensorsSource source);
}
