using LowRankQuant.Formats;

namespace LowRankQuant.Cli;

/// <summary>What a MODEL argument names: the reserved <c>demo</c>, or a path.</summary>
/// <param name="Path">Folder or file.</param>
/// <param name="IsDemo">Whether it is the model that ships beside the binary.</param>
internal sealed record ModelPath(string Path, bool IsDemo)
{
    public const string Demo = "demo";

    public const string Help = "A Hugging Face folder, a folder that lrq wrote, or a .gguf file; 'demo' is the small model that ships with lrq ('./demo' a folder).";

    /// <summary>Folder of the demo.</summary>
    public static string DemoFolder => global::System.IO.Path.Combine(AppContext.BaseDirectory, "models", Demo);

    public string CalibrationText => global::System.IO.Path.Combine(Path, "calibration.txt");

    public string EvaluationText => global::System.IO.Path.Combine(Path, "evaluation.txt");

    /// <summary>Resolves an argument.</summary>
    /// <exception cref="CheckpointException">The demo does not stand beside the binary.</exception>
    public static ModelPath Of(string argument)
    {
        if (argument != Demo) return new ModelPath(argument, false);
        return Directory.Exists(DemoFolder)
            ? new ModelPath(DemoFolder, true)
            : throw new CheckpointException($"The demo model is missing: {DemoFolder} does not exist. It ships beside the binary; for a folder of that name say ./{Demo}.");
    }
}
