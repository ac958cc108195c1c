using LowRankQuant.Models.Checkpoints;

namespace LowRankQuant.Models.Export;

/// <summary>Writes models in one container. A new container is a class and a line in <see cref="Exporters"/>.</summary>
public interface IExporter
{
    /// <summary>The value of <c>to</c>.</summary>
    string Name { get; }

    /// <summary>Whether the output is one file; else it is a folder.</summary>
    bool WritesFile { get; }

    /// <summary>Adapters that can be written beside the base; the first is the one when none is named. Empty where the container has none.</summary>
    IReadOnlyList<ExportAdapter> Adapters { get; }

    /// <summary>Whether branches are added to the weights when no adapter is asked for.</summary>
    bool MergesBranches { get; }

    /// <summary>Where the adapter of an output goes.</summary>
    string AdapterPath(string output);

    /// <summary>Everything that keeps the model from being held exactly, a sentence each; reads every quantized weight, writes nothing.</summary>
    IReadOnlyList<string> FindProblems(ExportSource source, ExportOptions options);

    /// <summary>What keeps the container from holding any quantization of a model, a sentence each: what is known of a model before its weights are on a grid.</summary>
    /// <param name="original">The model, its weights floats.</param>
    /// <param name="options">What is asked for.</param>
    IReadOnlyList<string> FindObstacles(ICheckpoint original, ExportOptions options) => [];

    /// <summary>What the user of the output should know though the model fits, a sentence each.</summary>
    /// <param name="source">The model.</param>
    /// <param name="options">What is asked for.</param>
    IReadOnlyList<string> FindWarnings(ExportSource source, ExportOptions options) => [];

    /// <summary>Writes a model that fits. The output appears under its name when it is complete.</summary>
    /// <param name="source">The model.</param>
    /// <param name="options">What is asked for.</param>
    /// <param name="progress">Told how many tensors are written, of how many.</param>
    /// <param name="cancellation">Ends the work; nothing is left behind.</param>
    /// <exception cref="IOException">The disk is too small, or the output cannot be written; nothing is left behind.</exception>
    void Write(ExportSource source, ExportOptions options, Action<int, int>? progress, CancellationToken cancellation);
}
