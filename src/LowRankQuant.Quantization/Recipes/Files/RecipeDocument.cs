namespace LowRankQuant.Quantization.Recipes.Files;

/// <summary>What a recipe file asks for.</summary>
/// <param name="Request">What decides the bytes of a result, but for the texts.</param>
/// <param name="Texts">What it is made and measured with.</param>
public sealed record RecipeDocument(RecipeRequest Request, RecipeTexts Texts);

/// <summary>The texts that a recipe names, and how they are read; empty where it names none.</summary>
public sealed record RecipeTexts
{
    /// <summary>Keys under <c>data</c> beside calibration and the numbers of windows.</summary>
    public static IReadOnlyList<string> DataKeys { get; } = ["calibration_format", "text_field", "add_bos", "chat_template_kwargs", "assistant_only"];

    /// <summary>Keys under <c>evaluation</c>.</summary>
    public static IReadOnlyList<string> EvaluationKeys { get; } = ["eval_text", "eval_text_format", "join_rows", "eval_windows", "eval_context", "in_depth", "swap_windows"];

    /// <summary>Keys under <c>output</c>.</summary>
    public static IReadOnlyList<string> OutputKeys { get; } = ["format", "adapter_form", "shard_size"];

    /// <summary>Calibration files, or <c>self</c>.</summary>
    public IReadOnlyList<string> Calibration { get; init; } = [];

    /// <summary>The other values by key.</summary>
    public IReadOnlyDictionary<string, string> Values { get; init; } = new Dictionary<string, string>();
}
