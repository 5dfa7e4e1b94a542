using System.Runtime.InteropServices;

namespace MiniVlp.Data.Text;

/// <summary>One piece of a tokenized text, for display.</summary>
/// <param name="Piece">The piece as the vocabulary spells it: <c>##ing</c>, <c>photo&lt;/w&gt;</c>, <c>[CLS]</c>.</param>
/// <param name="Id">Its number in the vocabulary.</param>
[StructLayout(LayoutKind.Auto)]
public readonly record struct TextToken(string Piece, int Id);
