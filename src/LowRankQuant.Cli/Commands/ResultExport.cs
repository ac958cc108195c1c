using LowRankQuant.Cli.Options;
using LowRankQuant.Cli.Output;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Export;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Cli.Commands;

/// <summary>
/// What <c>lrq quantize --to FORMAT</c> writes beside a result: the same codes and scales in another engine's container, within the output folder and named after the model.
/// <code>
/// OUT/NAME.gguf                 gguf
/// OUT/gptq, OUT/awq, OUT/mlx    the others, which are folders
/// </code>
/// </summary>
internal sealed class ResultExport
{
    private readonly IExporter _exporter;
    private readonly ExportOptions _options;

    private ResultExport(IExporter exporter, string path)
    {
        _exporter = exporter;
        _options = new ExportOptions { Output = path, Overwrite = true, Version = typeof(ResultExport).Assembly.GetName().Version?.ToString(3) ?? "0" };
    }

    /// <summary>Where it goes.</summary>
    public string Path => _options.Output;

    /// <summary>The container of a run.</summary>
    /// <param name="target">As <see cref="ResultContainers"/> have it.</param>
    /// <param name="folder">The output folder.</param>
    /// <param name="model">The model that is quantized.</param>
    public static ResultExport Of(Target target, string folder, ModelPath model)
    {
        IExporter exporter = Exporters.Find(Choices.Of(ResultContainers.All, target))!;
        return new ResultExport(exporter, System.IO.Path.Combine(folder, exporter.WritesFile ? $"{NameOf(model)}.{exporter.Name}" : exporter.Name));
    }

    /// <summary>What earlier sessions wrote beside a result, by the name of the container.</summary>
    /// <param name="folder">The output folder.</param>
    public static IEnumerable<(string Container, string Path)> Earlier(string folder) => !Directory.Exists(folder) ? [] : ResultContainers.All.Select(container => container.Key)
        .SelectMany(name => Exporters.Find(name)!.WritesFile ? Directory.EnumerateFiles(folder, $"*.{name}") : Directory.EnumerateDirectories(folder, name), (name, path) => (name, path))
        .OrderBy(earlier => earlier.path, StringComparer.Ordinal);

    /// <summary>What keeps the container from holding any quantization of a model, a sentence each: said before the work begins.</summary>
    public IEnumerable<string> Obstacles(ICheckpoint original) => _exporter.FindObstacles(original, _options).Select(obstacle => $"--to {_exporter.Name}: {obstacle}");

    /// <summary>Writes it, in the place of what an earlier session of the run wrote.</summary>
    /// <param name="result">The folder of the result.</param>
    /// <param name="narrator">Told how far it is.</param>
    /// <param name="cancellation">Ends it; the result stays, and the same command goes on.</param>
    /// <returns>What was written, in a line.</returns>
    /// <exception cref="ExportException">The container does not hold the result.</exception>
    public string Write(string result, RunNarrator narrator, CancellationToken cancellation)
    {
        narrator.Stage($"writing {Path}");
        using ICheckpoint model = CheckpointOpener.Open(result);
        ExportedAdapter? adapter = Exporters.Run(_exporter, new ExportSource(model), _options, (done, total) => narrator.Progress(done, total), cancellation, narrator.Warn);
        string branches = adapter is null ? "" : $"; its low-rank branches: {adapter.Path}";
        return $"{_exporter.Name}: {Path}, {Format.Bytes(SizeOf(Path))}{branches}";
    }

    private static string NameOf(ModelPath model)
    {
        if (model.IsDemo) return ModelPath.Demo;
        string name = (model.BaseModel ?? System.IO.Path.GetFullPath(model.Path)).TrimEnd('/', System.IO.Path.DirectorySeparatorChar);
        name = System.IO.Path.GetFileName(name);
        return name.EndsWith(".gguf", StringComparison.OrdinalIgnoreCase) ? name[..^".gguf".Length] : name.Length == 0 ? "model" : name;
    }

    private static long SizeOf(string path) => Directory.Exists(path)
        ? Directory.EnumerateFiles(path, "*.safetensors", SearchOption.AllDirectories).Sum(file => new FileInfo(file).Length)
        : new FileInfo(path).Length;
}
