using System.Text.Json.Nodes;
using LowRankQuant.Formats.Safetensors;

namespace LowRankQuant.Tests;

/// <summary>
/// The demo's first two blocks, with its tokenizer: a model for tests that take the same time for every block and do not ask how good the model is. Made once,
/// gone with the process.
/// </summary>
internal static class SmallDemo
{
    /// <summary>Blocks.</summary>
    public const int Layers = 2;

    private static readonly Lazy<TemporaryFolder> Made = new(Make);

    /// <summary>The folder.</summary>
    public static string Folder => Made.Value.Path;

    /// <summary>Options that measure on the demo's evaluation text.</summary>
    public static string[] Measured => ["--eval-text", Path.Combine(TestData.Demo, "evaluation.txt")];

    /// <summary>The same, and options that learn from the demo's calibration text.</summary>
    public static string[] Texts => [.. Measured, "--calibration", Path.Combine(TestData.Demo, "calibration.txt")];

    /// <summary>The same command on this model; the texts are for the caller to add.</summary>
    /// <param name="command">A command with the word <c>demo</c>.</param>
    public static string[] Instead(params string[] command) => [.. command.Select(word => word == "demo" ? Folder : word)];

    private static TemporaryFolder Make()
    {
        var folder = new TemporaryFolder();
        AppDomain.CurrentDomain.ProcessExit += (_, _) => folder.Dispose();
        foreach (string file in Directory.GetFiles(TestData.Demo).Where(file => Path.GetExtension(file) == ".json")) File.Copy(file, folder.File(Path.GetFileName(file)));
        JsonObject config = JsonNode.Parse(File.ReadAllBytes(folder.File("config.json")))!.AsObject();
        config["num_hidden_layers"] = Layers;
        File.WriteAllText(folder.File("config.json"), config.ToJsonString());
        using SafetensorsFile source = SafetensorsFile.Open(Path.Combine(TestData.Demo, "model.safetensors"));
        string[] names = [.. source.Names.Where(name => !name.StartsWith("model.layers.", StringComparison.Ordinal) || int.Parse(name.Split('.')[2], null) < Layers).Order(StringComparer.Ordinal)];
        SafetensorsFolderWriter.Write(folder.Path, [.. names.Select(name =>
        {
            long[] shape = [.. source.ShapeOf(name)];
            var values = new float[shape.Aggregate(1L, (product, size) => product * size)];
            source.ReadSingles(name, values);
            return PendingTensor.FromSingles(name, SafetensorsType.BF16, shape, values);
        })]);
        return folder;
    }
}
