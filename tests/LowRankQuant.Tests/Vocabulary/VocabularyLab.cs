using System.Text.Json;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics;
using LowRankQuant.Runs.Reports;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Vocabulary;

/// <summary>Small runs that quantize embedding and head.</summary>
internal static class VocabularyLab
{
    /// <summary>The demo with a head of its own: the embedding, every weight a little larger the later its row.</summary>
    public static string Untied(TemporaryFolder folder)
    {
        string model = DemoCopy.Create(folder, "untied"), path = Path.Combine(model, "model.safetensors"), written = path + ".new";
        using (SafetensorsFile file = SafetensorsFile.Open(path))
        {
            const string Embedding = "model.embed_tokens.weight";
            long[] shape = file.Tensors[Embedding].Shape;
            var head = new float[shape[0] * shape[1]];
            file.ReadSingles(Embedding, head);
            for (int i = 0; i < head.Length; i++) head[i] *= 1 + (0.25f * i / head.Length);
            PendingTensor[] tensors = [.. file.Names.Select(name => PendingTensor.Copy(file, name)), PendingTensor.FromSingles("lm_head.weight", SafetensorsType.BF16, shape, head)];
            SafetensorsWriter.Write(written, PendingTensor.ReferenceOrder(tensors));
        }
        File.Move(written, path, overwrite: true);
        DemoCopy.Edit(model, "config.json", config => config["tie_word_embeddings"] = false);
        return model;
    }

    /// <summary>Runs <c>lrq quantize</c> with one thread unless told otherwise.</summary>
    /// <returns>The report.</returns>
    public static async Task<RunReport> Quantize(string model, string output, params string[] options)
    {
        string[] threads = options.Contains("--threads") ? [] : ["--threads", "1"];
        CliResult run = await Lrq.Run(["quantize", model, "--out", output, "--json", .. threads, .. options]);
        Assert.True(run.Code == 0, run.Error);
        return JsonSerializer.Deserialize(run.Out, RunJson.Default.RunReport)!;
    }

    /// <summary>Rounding alone, without any text.</summary>
    public static Task<RunReport> Round(string model, string output, params string[] options) => Quantize(model, output, ["--method", "rtn", "--bits", "4", .. options]);

    /// <summary>Ids of no particular text for small vocabularies, as options.</summary>
    public static string[] Ids(TemporaryFolder folder, int vocabulary)
    {
        string file = folder.File("ids.jsonl");
        var random = new SeededRandom(11);
        File.WriteAllText(file, $"[{string.Join(',', Enumerable.Range(0, 200).Select(_ => random.NextInt32(vocabulary)))}]\n");
        return ["--calibration", file, "--calibration-format", "ids", "--samples", "4", "--held-out", "2", "--sequence-length", "32"];
    }
}
