using System.Text.Json.Nodes;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Families.Catalog;

namespace LowRankQuant.Benchmarks;

/// <summary>Writes a random checkpoint of any family from its config.json: every tensor that the family's files hold, in the shape that they hold it in.</summary>
internal static class SyntheticFamily
{
    /// <summary>Writes one.</summary>
    public static int Run(Options options)
    {
        string output = options.Text("out") ?? throw new ArgumentException("make-family needs --out FOLDER.");
        string file = options.Text("config") ?? throw new ArgumentException("make-family needs --config FILE.");
        JsonObject config = JsonNode.Parse(File.ReadAllBytes(file))!.AsObject();
        Architecture architecture = ModelFamilies.Read(config, file);
        bool mxfp4 = config["quantization_config"]?["quant_method"]?.GetValue<string>() == "mxfp4";
        var tensors = new SyntheticTensors();
        int vocabulary = architecture.Config.VocabularySize, width = architecture.EmbeddingWidth ?? architecture.Config.HiddenSize;
        tensors.Matrix(architecture.EmbeddingName, vocabulary, width, architecture.Config.TiedEmbeddings ? null : 1);
        if (!architecture.Config.TiedEmbeddings) tensors.Matrix(architecture.HeadName, vocabulary, width);
        var written = new HashSet<string>(StringComparer.Ordinal);
        foreach (TensorSpec tensor in architecture.Layout(name => mxfp4 && name.EndsWith(StoredView.Mxfp4Blocks, StringComparison.Ordinal)).Tensors)
        {
            string name = tensor.View?.Stored ?? tensor.Name;
            if (!written.Add(name)) continue;
            IReadOnlyList<int> shape = tensor.View?.StoredShape ?? tensor.Shape;
            if (tensor.View is { IsMxfp4: true } view)
            {
                tensors.Bytes(name, shape, 0, 255);
                // Scales are powers of two; 127 is 1, and a code is at most 6.
                tensors.Bytes(view.Mxfp4Scales, [.. shape.SkipLast(1)], 117, 121);
            }
            else if (shape.Count > 1) tensors.Uniform(name, shape, Math.Sqrt(3.0 / (tensor.View?.TakenColumns ?? shape[^1])));
            else if (name.EndsWith("bias", StringComparison.Ordinal) || name.EndsWith("sinks", StringComparison.Ordinal)) tensors.Uniform(name, shape, 0.1);
            else tensors.Ones(name, shape[0]);
        }
        tensors.Write(output, options.Text("tokenizer"), options.Number("shard-mb", 4000) * 1_000_000L, config);
        return 0;
    }
}
