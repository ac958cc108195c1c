using System.Text;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Tests.EndToEnd;

namespace LowRankQuant.Tests.Containers;

/// <summary>GGUF files of others as sources: their codes move to other containers and back, and are shown and compared as codes.</summary>
public class GgufSourceTests
{
    [Theory]
    [InlineData("q4_0", "compressed-tensors")]
    [InlineData("q4_0", "gptq")]
    [InlineData("q8_0", "compressed-tensors")]
    [InlineData("q8_0", "gptq")]
    public async Task BlocksMoveToAnotherContainerAndBackToTheSameBytes(string type, string container)
    {
        using var folder = new TemporaryFolder();
        string source = Golden($"model-{type}.gguf"), output = folder.File("out"), back = folder.File("back.gguf");
        CliResult result = await Lrq.Run("convert", source, "--to", container, "--out", output);
        Assert.Equal((0, ""), (result.Code, result.Error));
        JsonNode report = await Same(output, source);
        Assert.Equal((14, 14), ((int)report["linears"]!, (int)report["comparedByCodes"]!));
        result = await Lrq.Run("export", output, "--to", "gguf", "--out", back);
        Assert.Equal((0, ""), (result.Code, result.Error));
        using GgufFile first = GgufFile.Open(source), second = GgufFile.Open(back);
        foreach (GgufTensor tensor in first.Tensors.Values.Where(tensor => tensor.Name.StartsWith("blk.", StringComparison.Ordinal) && tensor.Shape.Length == 2).Some())
        {
            Assert.Equal(tensor.Type, second.Tensors[tensor.Name].Type);
            Assert.Equal(first.GetBytes(tensor.Name, 0, (int)tensor.ByteLength), second.GetBytes(tensor.Name, 0, (int)tensor.ByteLength));
        }
    }

    [Fact]
    public async Task AFileIsComparedByCodesAndADifferenceIsNamed()
    {
        using var folder = new TemporaryFolder();
        string source = Golden("model-q4_0.gguf"), changed = folder.File("changed.gguf");
        JsonNode report = await Same(source, source);
        // The embedding has codes too.
        Assert.Equal(15, (int)report["comparedByCodes"]!);
        const string Tensor = "blk.0.attn_q.weight";
        byte[] bytes = File.ReadAllBytes(source), blocks;
        using (GgufFile file = GgufFile.Open(source)) blocks = file.GetBytes(Tensor, 0, (int)file.Tensors[Tensor].ByteLength).ToArray();
        // Row 1 of the file is the first of the second half of a head, and 128 inputs are four blocks of 18 bytes: a half, then the codes.
        bytes[bytes.AsSpan().IndexOf(blocks) + (4 * 18) + 2] ^= 1;
        File.WriteAllBytes(changed, bytes);
        CliResult verified = await Lrq.Run("verify", changed, "--against", source);
        Assert.Equal(1, verified.Code);
        Assert.Contains("different: model.layers.0.self_attn.q_proj.weight: code at [8, 0] is", verified.Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task BlocksWithFloatMinimaAreComparedByCodesToo()
    {
        using var folder = new TemporaryFolder();
        string rounded = folder.File("q4_1.gguf"), changed = folder.File("changed.gguf");
        // Its linears go into Q4_1 as ggml's reference code rounds, whose minima are floats.
        Assert.Equal(0, (await Lrq.Run("export", TestData.Demo, "--to", "gguf", "--linear", "q4_1", "--out", rounded)).Code);
        CliResult ofFloats = await Lrq.Run("verify", rounded, "--against", TestData.Demo);
        Assert.Contains("and 27 more: kept in fewer than 16 bits", ofFloats.Out, StringComparison.Ordinal);
        JsonNode report = await Same(rounded, rounded);
        Assert.Equal((28, (int)report["tensors"]!), ((int)report["comparedByCodes"]!, (int)report["comparedByValues"]!));
        byte[] bytes = File.ReadAllBytes(rounded), blocks;
        using (GgufFile file = GgufFile.Open(rounded)) blocks = file.GetBytes("blk.2.ffn_up.weight", 0, 200).ToArray();
        bytes[bytes.AsSpan().IndexOf(blocks) + 4] ^= 1;
        File.WriteAllBytes(changed, bytes);
        CliResult verified = await Lrq.Run("verify", changed, "--against", rounded);
        Assert.Equal(1, verified.Code);
        Assert.Contains("different: model.layers.2.mlp.up_proj.weight: code at [0, 0] is", verified.Out, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("golden/gguf/tinystories-656k/model-q4_0.gguf", "w4 symmetric g32, Float16 scales", 4.5)]
    [InlineData("golden/gguf/tinystories-656k/model-q8_0.gguf", "w8 symmetric g32, Float16 scales", 8.5)]
    [InlineData("models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf", "w4 affine g32, Float16 scales", 5)]
    public async Task TheGridsOfAFileAreShownWithTheBitsTheyTake(string path, string grid, double bits)
    {
        CliResult result = await Lrq.Run("inspect", TestData.Path(path.Split('/')), "--json");
        Assert.True(result.Code == 0, result.Error);
        JsonNode facts = JsonNode.Parse(result.Out)!;
        Assert.Equal((grid, bits), (facts["scheme"]!.ToString(), (double)facts["bitsPerWeight"]!));
    }

    [Fact]
    public async Task GridsOfEveryBlockTypeAreTold()
    {
        CliResult result = await Lrq.Run("inspect", TestData.Path("golden", "gguf", "mixed", "mixed.gguf"), "--json");
        Assert.True(result.Code == 0, result.Error);
        JsonArray grids = JsonNode.Parse(result.Out)!["grids"]!.AsArray();
        Assert.Equal(14, grids.Sum(grid => (int)grid!["linears"]!));
        string[] found = [.. grids.Select(grid => grid!["description"]!.ToString().Split(',')[0]).Order(StringComparer.Ordinal)];
        Assert.Equal(
            [
                "w2 asymmetric channel", "w3 symmetric channel", "w4 asymmetric channel", "w4 asymmetric g64", "w4 symmetric g128", "w5 asymmetric channel",
                "w5 symmetric g32", "w6 symmetric channel", "w8 symmetric channel",
            ],
            found);
    }

    [Fact]
    public async Task BlocksOfUnequalLevelsAreSourcesAndAreToldByName()
    {
        using var folder = new TemporaryFolder();
        byte[] bytes = File.ReadAllBytes(Golden("model-q4_0.gguf"));
        foreach (int block in new[] { 0, 1 })
        {
            // IQ4_NL (20) has blocks as large as Q4_0's (2): a half and 16 bytes of codes.
            byte[] name = Encoding.ASCII.GetBytes($"blk.{block}.ffn_down.weight");
            int type = bytes.AsSpan().IndexOf(name) + name.Length + 4 + (2 * 8);
            Assert.Equal(2, BitConverter.ToInt32(bytes, type));
            bytes[type] = 20;
        }
        string path = folder.File("model.gguf"), output = folder.File("out");
        File.WriteAllBytes(path, bytes);
        CliResult result = await Lrq.Run("inspect", path, "--json");
        Assert.True(result.Code == 0, result.Error);
        Assert.Equal("75.00 % w4 symmetric g32, Float16 scales; 25.00 % IQ4_NL blocks, 4.5 bits", JsonNode.Parse(result.Out)!["scheme"]!.ToString());
        result = await Lrq.Run("convert", path, "--dtype", "fp32", "--out", output);
        Assert.True(result.Code == 0, result.Error);
        JsonNode report = await Same(output, path);
        Assert.Equal((int)report["tensors"]!, (int)report["comparedByValues"]!);
    }

    private static string Golden(string file) => TestData.Path("golden", "gguf", "tinystories-656k", file);

    private static async Task<JsonNode> Same(string output, string source)
    {
        CliResult verified = await Lrq.Run("verify", output, "--against", source, "--json");
        Assert.True(verified.Code == 0, verified.Out + verified.Error);
        return JsonNode.Parse(verified.Out)!;
    }
}
