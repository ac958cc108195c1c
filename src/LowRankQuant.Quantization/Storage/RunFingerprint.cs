using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using LowRankQuant.Formats;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;

namespace LowRankQuant.Quantization.Storage;

/// <summary>Identity of a run: the same fingerprint means the same bytes. What does not change the bytes (threads, memory) is not part of it.</summary>
/// <param name="Model">SHA-256 over the model's configuration, tensor list and samples of its tensors.</param>
/// <param name="Data">SHA-256 of the calibration ids, or <c>none</c>.</param>
/// <param name="Recipe">SHA-256 of the resolved recipe.</param>
/// <param name="Engine">Version and kernels: another width of vectors sums in another order.</param>
/// <param name="Format">What is written: format and shard size.</param>
public sealed record RunFingerprint(string Model, string Data, string Recipe, string Engine, string Format)
{
    /// <summary>Stands for calibration data where there are none.</summary>
    public const string NoData = "none";

    /// <summary>Computes the fingerprint of a run.</summary>
    public static RunFingerprint Of(ICheckpoint checkpoint, string data, Recipe recipe, string kernels, string format) =>
        new(ModelHash(checkpoint), data, Hash(Encoding.UTF8.GetBytes(RecipeFile.Write(recipe).ToJsonString())),
            EngineOf(kernels) + string.Concat(recipe.Methods.Select(MethodVersion).Distinct()), format);

    /// <summary>Computes the fingerprint of a run of <c>lrq correct</c>.</summary>
    public static RunFingerprint OfCorrection(
        ICheckpoint quantized, ICheckpoint reference, string data, string options, string kernels, string format) =>
        new(Hash(Encoding.UTF8.GetBytes($"{ModelHash(quantized)} {ModelHash(reference)}")), data,
            Hash(Encoding.UTF8.GetBytes(options)), EngineOf(kernels), format);

    /// <summary>Which parts differ, for messages.</summary>
    public string DifferenceTo(RunFingerprint other)
    {
        var parts = new List<string>();
        if (Model != other.Model) parts.Add("another model");
        if (Data != other.Data) parts.Add("other calibration data");
        if (Recipe != other.Recipe) parts.Add("other options");
        if (Engine != other.Engine) parts.Add($"made by {Engine}, this is {other.Engine}");
        if (Format != other.Format) parts.Add("another `format`, `shard_size` or `adapter_form`");
        return string.Join(", ", parts);
    }

    internal static RunFingerprint? TryRead(string path)
    {
        try
        {
            return File.Exists(path) ? JsonSerializer.Deserialize(File.ReadAllBytes(path), PipelineJson.Default.RunFingerprint) : null;
        }
        catch (JsonException)
        {
            return null;
        }
    }

    internal void Write(string path) => AtomicFile.WriteAllBytes(path, JsonSerializer.SerializeToUtf8Bytes(this, PipelineJson.Default.RunFingerprint));

    /// <summary>Version and kernels in words.</summary>
    internal static string EngineOf(string kernels) => $"{typeof(RunFingerprint).Assembly.GetName().Version?.ToString(3)} {kernels}";

    // A method of somebody else's library has a version of its own.
    private static string MethodVersion(MethodSettings method) =>
        method.GetType().Assembly is var library && library == typeof(RunFingerprint).Assembly ? "" : $" {library.GetName().Name} {library.ManifestModule.ModuleVersionId}";

    /// <summary>SHA-256 over a model's configuration, tensor list and samples of its tensors, lower-case hexadecimal.</summary>
    internal static string ModelHash(ICheckpoint checkpoint)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(checkpoint.HuggingFaceConfig.ToJsonString()));
        foreach (string name in checkpoint.TensorNames.Order(StringComparer.Ordinal))
            hash.AppendData(Encoding.UTF8.GetBytes($"{name} {string.Join(",", checkpoint.ShapeOf(name))}\n"));
        checkpoint.AppendContentHash(hash);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static string Hash(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));
}
