namespace LowRankQuant.Quantization.Recipes;

/// <summary>How scales, branches and perhaps codes of a quantized model are tuned together, once all blocks are done.</summary>
public sealed record TuningRecipe
{
    /// <summary>Adam steps.</summary>
    public required int Steps { get; init; }

    /// <summary>First learning rate, relative to the numbers that are learned; a cosine takes it to 0.</summary>
    public required double LearningRate { get; init; }

    /// <summary>First learning rate of codes, in steps of the grid; 0 where codes stay though the method would move them or somebody said so, null where nobody thought of it.</summary>
    public double? CodeRate { get; init; }

    /// <summary>Windows per step.</summary>
    public required int Batch { get; init; }

    /// <summary>Most calibration windows: those of the method and, where the text has them, more.</summary>
    public required int Samples { get; init; }
}
