using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats;

/// <summary>Low-rank branches by module, whatever kind of file holds them: W' = W + B A, with every factor of the file folded into B and rows in the model's order.</summary>
public interface ILowRankAdapter : IDisposable
{
    /// <summary>The folder or file it was opened from.</summary>
    string Location { get; }

    /// <summary>What kind of adapter it is, for reports: <c>lrq branch file</c>, <c>PEFT adapter</c>, <c>GGUF LoRA adapter</c>.</summary>
    string Kind { get; }

    /// <summary>Path of the file that holds its tensors.</summary>
    string TensorPath { get; }

    /// <summary>Bytes of its tensors.</summary>
    long StoredBytes { get; }

    /// <summary>Modules with a branch, by their Hugging Face names.</summary>
    IReadOnlyCollection<string> Modules { get; }

    /// <summary>The branch of a module; null when it has none.</summary>
    /// <exception cref="CheckpointFormatException">A factor holds NaN or infinity.</exception>
    LowRankBranch? Read(string module);

    /// <summary>Rows and columns of the weight that a module's branch belongs to.</summary>
    (int OutFeatures, int InFeatures) ShapeOf(string module);

    /// <summary>Rank of a module's branch.</summary>
    int RankOf(string module);

    /// <summary>Bits that a module's branch takes in the file.</summary>
    long StoredBitsOf(string module);
}
