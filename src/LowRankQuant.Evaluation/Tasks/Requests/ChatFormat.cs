using LowRankQuant.Models;
using LowRankQuant.Models.ChatTemplates;
using LowRankQuant.Models.ChatTemplates.Values;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Quantization.Texts;

namespace LowRankQuant.Evaluation.Tasks.Requests;

/// <summary>
/// Puts contexts into a model's chat format, as lm-eval 0.4 does: a description is the system's message, solved questions and the asked one are the
/// user's, the choice begins the answer and loses the space in front.
/// </summary>
internal sealed class ChatFormat
{
    private const string Delimiter = " ";

    private readonly ChatText _chat;
    private (string Context, string Text) _last = ("", "");

    /// <summary>Reads the model's template.</summary>
    /// <param name="model">The model.</param>
    /// <param name="tokenizer">Its tokenizer.</param>
    /// <param name="arguments">Variables of the template's own; null for none.</param>
    /// <exception cref="EvaluationException">The model has none, or one that this library does not know, or it has no such variable.</exception>
    public ChatFormat(CausalModel model, ITokenizer tokenizer, TemplateArguments? arguments)
    {
        string location = model.Checkpoint.Location;
        try
        {
            _chat = ChatText.Of(model.Checkpoint, tokenizer, model.Config, arguments)
                ?? throw new EvaluationException($"`apply_chat_template`: {location} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json).");
        }
        catch (ChatTemplateException failure)
        {
            throw new EvaluationException($"`apply_chat_template`: {location}: {failure.Message}", failure);
        }
    }

    /// <summary>A request in chat format.</summary>
    /// <exception cref="EvaluationException">The template refuses the messages.</exception>
    public TextPair Apply(TaskItem item, TextPair pair)
    {
        if (_last.Context != pair.Context) _last = (pair.Context, Render(item, pair.Context));
        string continuation = pair.Continuation;
        return new TextPair(_last.Text, continuation.StartsWith(Delimiter, StringComparison.Ordinal) ? continuation[Delimiter.Length..] : continuation);
    }

    private string Render(TaskItem item, string context)
    {
        ChatMessage[] messages = item.Shots is { } shots
            ? [new ChatMessage("system", shots.Header), new ChatMessage("user", context[shots.Header.Length..])]
            : [new ChatMessage("user", context)];
        try
        {
            return _chat.Render(messages, addGenerationPrompt: true);
        }
        catch (ChatTemplateException failure)
        {
            throw new EvaluationException($"`apply_chat_template`, {item.Task} item {item.Index}: {failure.Message}", failure);
        }
    }
}
