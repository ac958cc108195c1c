using System.Text.RegularExpressions;
using LowRankQuant.Formats;
using LowRankQuant.Models.Families;

namespace LowRankQuant.Models.Checkpoints;

/// <summary>Models in formats that are not read, and what to do with them.</summary>
internal static partial class ForeignModels
{
    private const string Safetensors = "take the safetensors files of the model's page";

    private const string Pickle =
        "is a PyTorch pickle, which can run code when it is read and is not supported. Convert the model to safetensors first " +
        "(in Python: AutoModelForCausalLM.from_pretrained(...).save_pretrained(folder, safe_serialization=True)), or take the safetensors files of its page.";

    private static readonly Dictionary<string, string> ByExtension = new(StringComparer.OrdinalIgnoreCase)
    {
        [".bin"] = Pickle,
        [".pt"] = Pickle,
        [".pth"] = Pickle,
        [".ckpt"] = Pickle,
        [".pkl"] = Pickle,
        [".onnx"] = $"is an ONNX model, which is not read; {Safetensors}, or its GGUF file.",
        [".onnx_data"] = $"is a part of an ONNX model, which is not read; {Safetensors}, or its GGUF file.",
        [".h5"] = $"is an HDF5 file (Keras or TensorFlow weights), which is not read; {Safetensors}.",
        [".msgpack"] = $"is a Flax checkpoint, which is not read; {Safetensors}.",
        [".npz"] = $"is an archive of NumPy arrays, which is not read; {Safetensors}.",
        [".tflite"] = $"is a TensorFlow Lite model, which is not read; {Safetensors}.",
        [".mlmodel"] = $"is a Core ML model, which is not read; {Safetensors}.",
        [".ggml"] = "is a GGML model of the time before GGUF, which is not read; take the model's GGUF file or its Hugging Face folder.",
    };

    private static readonly string[] ModelStarts = ["pytorch_model", "model", "consolidated", "ggml", "tf_model", "flax_model", "rust_model", "decoder_model"];

    /// <summary>What a file is and what to do; null for one that may be read.</summary>
    /// <param name="path">The file; it must exist.</param>
    /// <returns>The rest of a sentence that begins with the path.</returns>
    public static string? Describe(string path)
    {
        if (FileLength.Of(path) == 0) return "is empty; download it again.";
        string? byExtension = ByExtension.GetValueOrDefault(Path.GetExtension(path));
        // What the bytes say is true; pickles have several forms, and one message.
        bool bytesSayMore = FileKind.Foreign(path) is { } foreign && (byExtension is null || !foreign.Contains("pickle", StringComparison.Ordinal));
        return bytesSayMore ? FileKind.Foreign(path) : byExtension;
    }

    /// <summary>Whether a file of a folder would be the model itself: there may be others of its kind that do not matter, such as training arguments.</summary>
    public static bool IsModel(string name) =>
        ByExtension.ContainsKey(Path.GetExtension(name)) && ModelStarts.Any(start => name.StartsWith(start, StringComparison.OrdinalIgnoreCase));

    /// <summary>The exception for an adapter where a model is asked for.</summary>
    public static UnsupportedModelException AdapterAlone(string path) =>
        new($"{path} holds an adapter and no model; name its model, and the adapter by `adapter` of lrq eval.");

    /// <summary>A word about models of the hub for a path that does not exist; empty where it is none.</summary>
    public static string HubHint(string path) =>
        HubName().IsMatch(path) ? $" For the model of that name on the Hugging Face hub say hf://{path}." : "";

    /// <summary>Where the model is, when it lies deeper in a folder: a snapshot in the hub's cache, or the only folder within.</summary>
    public static string NestedHint(string folder)
    {
        string snapshots = Path.Combine(folder, "snapshots");
        IEnumerable<string> folders = Directory.EnumerateDirectories(Directory.Exists(snapshots) ? snapshots : folder);
        string[] inside = [.. folders.Where(path => File.Exists(Path.Combine(path, ModelConfigFile.Name)))];
        return inside.Length == 1 ? $" There is one in {inside[0]}." : "";
    }

    [GeneratedRegex(@"^[A-Za-z0-9][\w.-]*/[\w.-]+$", RegexOptions.CultureInvariant)]
    private static partial Regex HubName();
}
