using LowRankQuant.Formats;
using LowRankQuant.Hub;

namespace LowRankQuant.Cli;

/// <summary>What a MODEL argument names: the reserved <c>demo</c>, a path, or a name of the hub whose files are here by now.</summary>
/// <param name="Path">Folder or file.</param>
/// <param name="IsDemo">Whether it is the model that ships beside the binary.</param>
/// <param name="Name">Its name on the hub; null for a path.</param>
internal sealed record ModelPath(string Path, bool IsDemo, HubName? Name = null)
{
    public const string Demo = "demo";

    public const string Help =
        "A Hugging Face folder, a folder that lrq wrote, a .gguf file, or a name on the Hugging Face hub where nothing here is called so (ORG/NAME, " +
        "ORG/NAME@REVISION, hf://ORG/NAME/FILE.gguf); 'demo' is the small model that ships with lrq ('./demo' a folder).";

    /// <summary>Folder of the demo.</summary>
    public static string DemoFolder => global::System.IO.Path.Combine(AppContext.BaseDirectory, "models", Demo);

    public string CalibrationText => global::System.IO.Path.Combine(Path, "calibration.txt");

    public string EvaluationText => global::System.IO.Path.Combine(Path, "evaluation.txt");

    /// <summary>As a user knows it.</summary>
    public string Shown => IsDemo ? Demo : Name?.ToString() ?? Path;

    /// <summary>Its name on the hub, also of a path within the cache of the hub's tools; null where that is not known.</summary>
    public string? BaseModel => Name?.Repository ?? HubFolder(global::System.IO.Path.GetFullPath(Path));

    /// <summary>Resolves an argument that is no name of the hub.</summary>
    /// <exception cref="CheckpointException">The demo does not stand beside the binary.</exception>
    public static ModelPath Of(string argument)
    {
        if (argument != Demo) return new ModelPath(argument, false);
        return Directory.Exists(DemoFolder)
            ? new ModelPath(DemoFolder, true)
            : throw new CheckpointException($"The demo model is missing: {DemoFolder} does not exist. It ships beside the binary; for a folder of that name say ./{Demo}.");
    }

    // models--ORG--NAME/snapshots/COMMIT, as HubCache lays it out.
    private static string? HubFolder(string path)
    {
        string[] parts = path.Split(global::System.IO.Path.DirectorySeparatorChar);
        int snapshots = Array.LastIndexOf(parts, "snapshots");
        return snapshots > 0 && parts[snapshots - 1].StartsWith("models--", StringComparison.Ordinal) && parts[snapshots - 1].Split("--") is [_, var owner, var name] ? $"{owner}/{name}" : null;
    }
}
